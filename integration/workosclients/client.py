# WorkOS's client for Python, unmodified, against the gateway. It prints what came of each call.
import json
import os
import time
import urllib.request
from datetime import datetime, timedelta, timezone

import workos
from workos import WorkOSClient
from workos._errors import APIError
from workos.audit_logs._resource import RetentionPeriod, RetentionPeriodInDays
from workos.audit_logs.models import (
    AuditLogEvent,
    AuditLogEventActor,
    AuditLogEventContext,
    AuditLogEventTarget,
    AuditLogSchemaActorInput,
    AuditLogSchemaTargetInput,
)

client = WorkOSClient(api_key=os.environ["KEY"], client_id="client", base_url=os.environ["URL"], max_retries=0)
stranger = WorkOSClient(api_key="sk_nobody", client_id="client", base_url=os.environ["URL"], max_retries=0)
logs = client.audit_logs
acme = os.environ["ORGANIZATION"]
results = {"version": workos.__version__ if hasattr(workos, "__version__") else ""}


def event(action="python.signed_in", **change):
    members = dict(
        action=action,
        occurred_at=datetime.now(timezone.utc),
        actor=AuditLogEventActor(id="user_1", type="user", name="Ada", metadata={"role": "admin"}),
        targets=[AuditLogEventTarget(id="team_1", type="team")],
        context=AuditLogEventContext(location="203.0.113.7", user_agent="Firefox"),
        metadata={"attempt": 1, "sso": True},
    )
    members.update(change)
    return AuditLogEvent(**members)


def call(name, do):
    try:
        results[name] = do()
    except APIError as e:
        results[name] = {"error": type(e).__name__, "code": e.code, "message": e.message, "request": bool(e.request_id)}


once = event()
call("keyed", lambda: logs.create_event(organization_id=acme, event=once, idempotency_key="python-1").success)
call("again", lambda: logs.create_event(organization_id=acme, event=once, idempotency_key="python-1").success)
call("unkeyed", lambda: logs.create_event(organization_id=acme, event=event("python.signed_out")).success)
call("no organization", lambda: logs.create_event(organization_id="org_nobody", event=event()).success)
call("invalid", lambda: logs.create_event(organization_id=acme, event=event(metadata={"a b": "c"})).success)
call("unprocessable", lambda: logs.create_event(organization_id=acme, event=event(action=None)).success)
call("stranger", lambda: stranger.audit_logs.create_event(organization_id=acme, event=event()).success)

call("schema", lambda: logs.create_schema("python.paid", targets=[AuditLogSchemaTargetInput(type="invoice")]).version)
call("same schema", lambda: logs.create_schema("python.paid", targets=[AuditLogSchemaTargetInput(type="invoice")]).version)
paid = {"type": "object", "properties": {"total": {"type": "number"}}}


def whole():
    made = logs.create_schema("python.refunded", targets=[AuditLogSchemaTargetInput(type="invoice", metadata=paid)], actor=AuditLogSchemaActorInput(metadata=paid), metadata=paid)
    same = [made.actor.metadata == paid, made.metadata == paid, made.targets[0].metadata == paid]
    return [made.object, made.version, made.targets[0].type, made.created_at.tzinfo is not None, same]


call("whole schema", whole)
call("next schema", lambda: logs.create_schema("python.paid", targets=[AuditLogSchemaTargetInput(type="receipt")]).version)
call("versions", lambda: [[s.object, s.version, s.targets[0].type] for s in logs.list_action_schemas("python.paid", limit=1).auto_paging_iter()])
call("pages", lambda: sorted(a.name for a in logs.list_actions(limit=7).auto_paging_iter() if a.name.startswith("python.")))
call("ascending", lambda: [s.version for s in logs.list_action_schemas("python.paid", order="asc").data])
call("no action", lambda: logs.list_action_schemas("python.nothing").data)
call("retention period", lambda: logs.update_organization_audit_logs_retention(acme, retention=RetentionPeriod("1_YEAR")).retention_period_in_days)
call("retention of nobody", lambda: logs.get_organization_audit_logs_retention("org_nobody").retention_period_in_days)
call("schemas", lambda: [s.version for s in logs.list_action_schemas("python.paid").data])
call("actions", lambda: len(logs.list_actions(limit=1).data))
call("retention", lambda: logs.update_organization_audit_logs_retention(acme, retention=RetentionPeriodInDays(30)).retention_period_in_days)
call("retention read", lambda: logs.get_organization_audit_logs_retention(acme).retention_period_in_days)


def export(**filters):
    now = datetime.now(timezone.utc)
    made = logs.create_export(organization_id=acme, range_start=now - timedelta(hours=1), range_end=now + timedelta(hours=1), actions=["python.signed_in"], **filters)
    until = time.monotonic() + 120
    while made.state.value == "pending" and time.monotonic() < until:
        time.sleep(0.1)
        made = logs.get_export(made.id)
    with urllib.request.urlopen(made.url) as file:
        return {"state": made.state.value, "lines": len(file.read().decode().splitlines())}


call("export", export)
call("export of one", lambda: export(actor_names=["Ada"], actor_ids=["user_1"], targets=["team"]))
call("export of nobody", lambda: export(actor_ids=["user_2"]))
call("export of no organization", lambda: logs.create_export(organization_id="org_nobody", range_start="2026-11-01T00:00:00Z", range_end="2026-11-02T00:00:00Z").id)
call("no export", lambda: logs.get_export("audit_log_export_nobody").id)
print(json.dumps(results))
