"""The reference of the other measurements: the smallest ASGI application on the hub's own server.

Answers every request with its body; ``/stream`` holds an event stream open. What the hub costs
above this is the hub's. Start it, read the address from its first line, stop it with SIGTERM:

    python bench/http_echo.py --port 0
"""

import argparse
import asyncio

import uvloop

from crossfade.inbound.asgi import EventStream, Receive, Scope, Send, Streams, json_response, read_body
from crossfade.inbound.server import Server, ServerSettings

BODY_BYTES_MAX = 1_048_576


class Echo:
    def __init__(self, streams: Streams) -> None:
        self.streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/stream":
            stream = EventStream(scope, receive, send, self.streams)
            await stream.start()
            await stream.wait_closed()
        else:
            await json_response(send, 200, await read_body(receive, BODY_BYTES_MAX))


async def serve(host: str, port: int) -> None:
    streams = Streams()
    settings = ServerSettings(host=host, port=port, handle_signals=True, own_process=True)
    server = Server(Echo(streams), settings, streams.drain)
    await server.start()
    print(server.url, flush=True)
    await server.wait()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--port", type=int, default=8766)
    chosen = arguments.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(chosen.host, chosen.port))


if __name__ == "__main__":
    main()
