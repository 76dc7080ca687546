"""The reference of the other measurements: the smallest ASGI application on the hub's own server.

Answers every request with its body; ``/stream`` holds an event stream open. What the hub costs
above this is the hub's. With ``--front`` a POST to /mcp is answered the way the hub answers one, without ASGI. Start
it, read the address from its first line, stop it with SIGTERM:

    python bench/http_echo.py --port 0 [--front]
"""

import argparse
import asyncio

import uvloop

from crossfade.inbound.asgi import EventStream, Receive, Scope, Send, Streams, json_response, read_body
from crossfade.inbound.replies import Reply
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

    # --- the same as a front

    target = b"/mcp"

    def remember(self, scope: Scope) -> object | None:
        return self

    async def serve(self, head: object, body: bytes, reply: Reply) -> None:
        await reply.whole(200, body)


async def serve(host: str, port: int, *, front: bool) -> None:
    streams = Streams()
    settings = ServerSettings(host=host, port=port, handle_signals=True, own_process=True)
    echo = Echo(streams)
    server = Server(echo, settings, streams.drain, echo if front else None)
    await server.start()
    print(server.url, flush=True)
    await server.wait()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--port", type=int, default=8766)
    arguments.add_argument("--front", action="store_true")
    chosen = arguments.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(chosen.host, chosen.port, front=chosen.front))


if __name__ == "__main__":
    main()
