"""Every route of the API, once: the dispatcher looks here, and so does the OpenAPI document."""

from typing import Final

from crossfade.core.board import Board
from crossfade.engine.requests import (
    AgentView,
    BackupView,
    IssuedToken,
    NotesView,
    QuestionView,
    RolloutView,
    SentView,
    SliceView,
    TokenView,
)
from crossfade.engine.signing_views import KeptView, ReviewView, SignoffView
from crossfade.inbound.api import identities, log, messages, questions, rollout, signoffs
from crossfade.inbound.api.measurements import MEASUREMENTS
from crossfade.inbound.api.plans import PLANS
from crossfade.inbound.api.routes import ADMINISTER, ANYONE, OPERATE, PARTICIPANT, AnyRoute, Nothing, Route
from crossfade.inbound.api.run_table import RUNS

_ASKING: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="POST", path="/v1/questions", name="ask", summary="Ask an agent or a person", grants=PARTICIPANT,
        run=questions.ask, gives=QuestionView, query=Nothing, body=questions.AskBody, status=201, refuses=(404, 409),
    ),
    Route(
        method="GET", path="/v1/questions", name="open_questions", summary="List the open questions for the caller",
        grants=PARTICIPANT, run=questions.open_questions, gives=questions.Questions, query=questions.LimitQuery,
        body=Nothing,
    ),
    Route(
        method="GET", path="/v1/questions/{question_id}", name="question", grants=ANYONE,
        summary="Read a question, or wait for its end", run=questions.question, gives=QuestionView,
        query=questions.WaitQuery, body=Nothing, refuses=(403, 404),
    ),
    Route(
        method="POST", path="/v1/questions/{question_id}/answer", name="answer", summary="Answer or decline a question",
        grants=PARTICIPANT, run=questions.answer, gives=QuestionView, query=Nothing, body=questions.AnswerBody,
        refuses=(404, 409),
    ),
    Route(
        method="POST", path="/v1/questions/{question_id}/withdraw", name="withdraw", summary="Withdraw a question",
        grants=PARTICIPANT, run=questions.withdraw, gives=QuestionView, query=Nothing, body=questions.WithdrawBody,
        refuses=(404, 409),
    ),
    Route(
        method="POST", path="/v1/messages", name="send", summary="Send a message", grants=PARTICIPANT,
        run=messages.send, gives=SentView, query=Nothing, body=messages.SendBody, status=201, refuses=(404, 409),
    ),
    Route(
        method="GET", path="/v1/messages", name="wait_for_messages", summary="Poll for messages (the polling lane)",
        grants=PARTICIPANT, run=messages.poll, gives=messages.Page, query=messages.PollQuery, body=Nothing,
        refuses=(410,),
    ),
    Route(
        method="GET", path="/v1/inbox", name="inbox", summary="Wait for messages and questions, on either lane",
        grants=PARTICIPANT, run=messages.inbox, gives=messages.Page, query=messages.ReceiveQuery, body=Nothing,
    ),
    Route(
        method="POST", path="/v1/inbox/acknowledge", name="acknowledge", summary="Say what the event stream brought",
        grants=PARTICIPANT, run=messages.acknowledge, gives=messages.Acknowledged, query=Nothing,
        body=messages.AcknowledgeBody,
    ),
)  # fmt: skip

_IDENTITIES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET", path="/v1/me", name="me", summary="Say who the caller is", grants=ANYONE, run=identities.me,
        gives=identities.Me, query=Nothing, body=Nothing,
    ),
    Route(
        method="GET", path="/v1/agents", name="agents", summary="List who can be asked", grants=ANYONE,
        run=identities.agents, gives=identities.Agents, query=identities.AgentsQuery, body=Nothing,
    ),
    Route(
        method="DELETE", path="/v1/agents/{name}", name="retire", summary="Retire an agent for good", grants=ADMINISTER,
        run=identities.retire, gives=AgentView, query=Nothing, body=Nothing, refuses=(404, 409),
    ),
    Route(
        method="POST", path="/v1/tokens", name="issue_token", summary="Make a token", grants=ADMINISTER,
        run=identities.issue, gives=IssuedToken, query=Nothing, body=identities.IssueBody, status=201, refuses=(409,),
    ),
    Route(
        method="GET", path="/v1/tokens", name="tokens", summary="List the tokens", grants=ADMINISTER,
        run=identities.tokens, gives=identities.Tokens, query=Nothing, body=Nothing,
    ),
    Route(
        method="DELETE", path="/v1/tokens/{token_id}", name="revoke_token", summary="Revoke a token", grants=ADMINISTER,
        run=identities.revoke, gives=TokenView, query=Nothing, body=Nothing, refuses=(404,),
    ),
)  # fmt: skip

_ROLLOUT: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET", path="/v1/rollout", name="rollout", summary="Read the state of the rollout", grants=ANYONE,
        run=rollout.view, gives=RolloutView, query=Nothing, body=Nothing,
    ),
    Route(
        method="POST", path="/v1/rollout/start", name="rollout_start", summary="Begin a rollout at share 0",
        grants=OPERATE, run=rollout.start, gives=RolloutView, query=Nothing, body=rollout.StartBody, refuses=(409,),
    ),
    Route(
        method="POST", path="/v1/rollout/set", name="rollout_set", summary="Set the share", grants=OPERATE,
        run=rollout.set_share, gives=RolloutView, query=Nothing, body=rollout.SetBody, refuses=(409,),
    ),
    Route(
        method="POST", path="/v1/rollout/hold", name="rollout_hold", summary="Stop promoting", grants=OPERATE,
        run=rollout.hold, gives=RolloutView, query=Nothing, body=rollout.ReasonBody, refuses=(409,),
    ),
    Route(
        method="POST", path="/v1/rollout/resume", name="rollout_resume", summary="Go on after a hold", grants=OPERATE,
        run=rollout.resume, gives=RolloutView, query=Nothing, body=rollout.ReasonBody, refuses=(409,),
    ),
    Route(
        method="POST", path="/v1/rollout/kill", name="rollout_kill", summary="Put the share to 0 at once",
        grants=OPERATE, run=rollout.kill, gives=RolloutView, query=Nothing, body=rollout.ReasonBody, refuses=(409,),
    ),
    Route(
        method="POST", path="/v1/rollout/deprecate", name="rollout_deprecate", summary="Announce the end of polling",
        grants=OPERATE, run=rollout.deprecate, gives=RolloutView, query=Nothing, body=rollout.DeprecateBody,
        refuses=(409,),
    ),
    Route(
        method="POST", path="/v1/rollout/remove", name="rollout_remove", summary="End the polling lane", grants=OPERATE,
        run=rollout.remove, gives=RolloutView, query=Nothing, body=Nothing, refuses=(409,),
    ),
)  # fmt: skip

_LOG: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET", path="/v1/log/head", name="log_head", summary="Read the end of each shard", grants=OPERATE,
        run=log.head, gives=log.Heads, query=Nothing, body=Nothing,
    ),
    Route(
        method="POST", path="/v1/log/backup", name="log_backup", summary="Copy the log while it is in use",
        grants=OPERATE, run=log.backup, gives=BackupView, query=Nothing, body=Nothing, refuses=(409,),
    ),
    Route(
        method="GET", path="/v1/log/{shard}", name="log_records", summary="Read records of a shard", grants=OPERATE,
        run=log.records, gives=log.Records, query=log.RecordsQuery, body=Nothing, refuses=(404,),
    ),
    Route(
        method="GET", path="/v1/log/{shard}/verify", name="log_verify", summary="Read a stretch of a shard again",
        grants=OPERATE, run=log.verify, gives=SliceView, query=log.VerifyQuery, body=Nothing, refuses=(404,),
    ),
    Route(
        method="GET", path="/v1/log/{shard}/checkpoints", name="log_checkpoints", summary="Read signed checkpoints",
        grants=OPERATE, run=log.checkpoints, gives=NotesView, query=Nothing, body=Nothing, refuses=(404,),
    ),
)  # fmt: skip

_CONSENT: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="POST", path="/v1/signoffs", name="request_signoff", summary="Ask the members of roles to sign",
        grants=OPERATE, run=signoffs.request, gives=SignoffView, query=Nothing, body=signoffs.SignoffBody, status=201,
        refuses=(409,),
    ),
    Route(
        method="GET", path="/v1/signoffs", name="signoffs", summary="List sign-offs", grants=ANYONE,
        run=signoffs.listing, gives=signoffs.Signoffs, query=signoffs.SignoffsQuery, body=Nothing,
    ),
    Route(
        method="GET", path="/v1/signoffs/{signoff_id}", name="signoff", summary="Read a sign-off", grants=ANYONE,
        run=signoffs.signoff, gives=SignoffView, query=Nothing, body=Nothing, refuses=(404,),
    ),
    Route(
        method="POST", path="/v1/signoffs/{signoff_id}/withdraw", name="withdraw_signoff",
        summary="Take a sign-off back", grants=ANYONE, run=signoffs.withdraw, gives=SignoffView, query=Nothing,
        body=rollout.ReasonBody, refuses=(404, 409),
    ),
    Route(
        method="POST", path="/v1/signoffs/{signoff_id}/stop", name="stop_signoff",
        summary="Emergency stop by a member of a role", grants=ANYONE, run=signoffs.stop, gives=SignoffView,
        query=Nothing, body=rollout.ReasonBody, refuses=(404, 409),
    ),
    Route(
        method="GET", path="/v1/certificates", name="certificates", summary="List certificates", grants=ANYONE,
        run=signoffs.certificates, gives=signoffs.Certificates, query=signoffs.CertificatesQuery, body=Nothing,
    ),
    Route(
        method="GET", path="/v1/certificates/{digest}", name="certificate", summary="Read a certificate",
        grants=ANYONE, run=signoffs.certificate, gives=KeptView, query=Nothing, body=Nothing, refuses=(404,),
    ),
    Route(
        method="POST", path="/v1/evidence", name="keep_evidence", summary="Keep bytes by their digest", grants=OPERATE,
        run=signoffs.keep, gives=signoffs.Kept, query=Nothing, body=signoffs.EvidenceBody, status=201,
    ),
    Route(
        method="GET", path="/v1/evidence/{digest}", name="evidence", summary="Read kept bytes", grants=ANYONE,
        run=signoffs.evidence, gives=KeptView, query=Nothing, body=Nothing, refuses=(404,),
    ),
    Route(
        method="POST", path="/v1/reviews", name="record_review", summary="Review a runsheet, record and certify it",
        grants=OPERATE, run=signoffs.review, gives=ReviewView, query=Nothing, body=signoffs.ReviewBody, status=201,
    ),
    Route(
        method="GET", path="/v1/board", name="board", summary="Component by runsheet version", grants=ANYONE,
        run=signoffs.board, gives=Board, query=Nothing, body=Nothing,
    ),
)  # fmt: skip

_PROGRAMME: Final[tuple[AnyRoute, ...]] = (*MEASUREMENTS, *PLANS, *RUNS)
ROUTES: Final[tuple[AnyRoute, ...]] = (*_ASKING, *_IDENTITIES, *_ROLLOUT, *_CONSENT, *_LOG, *_PROGRAMME)
