"""A peer: questions between agents as A2A tasks, on a2a-sdk with its SQLAlchemy task store in SQLite.

A2A has no mailbox, so this is the nearest that its tasks allow: a question is a task in the context of the addressee
that requires input; the addressee lists the tasks of its context; its message to the task completes it. SQLite runs
in WAL mode with synchronous=FULL, so a task is durable before the reply, as with the others. uvloop, httptools, no
access log. Started by bench/peers/run.py in an environment of its own:

    python a2a_hub.py --port 8770 --data FOLDER
"""

import argparse
import contextlib
import logging
from pathlib import Path

import uvicorn
from a2a.helpers.proto_helpers import new_task_from_user_message
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes.jsonrpc_routes import create_jsonrpc_routes
from a2a.server.tasks import TaskUpdater
from a2a.server.tasks.database_task_store import DatabaseTaskStore
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette


class Hub(AgentExecutor):
    """A first message asks, a second one answers."""

    async def execute(self, context, event_queue):
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        if context.current_task is None:
            await event_queue.enqueue_event(new_task_from_user_message(context.message))
            await updater.requires_input()
        else:
            await updater.complete(updater.new_agent_message(list(context.message.parts)))

    async def cancel(self, context, event_queue):
        raise NotImplementedError


def durable(connection, _record):
    """Every connection of the pool: a commit is on the disk."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    chosen.data.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(f"sqlite+aiosqlite:///{chosen.data / 'tasks.db'}")
    event.listen(engine.sync_engine, "connect", durable)
    card = AgentCard(
        name="peer",
        description="Questions between agents",
        version="1",
        supported_interfaces=[
            AgentInterface(url=f"http://127.0.0.1:{chosen.port}/", protocol_binding="JSONRPC", protocol_version="1.0")
        ],
        capabilities=AgentCapabilities(streaming=False),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="ask", name="ask", description="Ask somebody", tags=["ask"])],
    )
    store = DatabaseTaskStore(engine)
    handler = DefaultRequestHandler(agent_executor=Hub(), task_store=store, agent_card=card)

    @contextlib.asynccontextmanager
    async def prepared(_app):
        await store.initialize()  # else the first requests race to create the table
        yield

    app = Starlette(routes=create_jsonrpc_routes(handler, "/"), lifespan=prepared)
    settings = {"log_level": "error", "access_log": False, "loop": "uvloop", "http": "httptools", "backlog": 4096}
    uvicorn.run(app, host="127.0.0.1", port=chosen.port, **settings)


if __name__ == "__main__":
    main()
