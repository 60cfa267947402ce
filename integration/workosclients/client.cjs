// WorkOS's client for Node, unmodified, against the gateway. It prints what came of each call.
const { WorkOS } = require('@workos-inc/node');

const url = new URL(process.env.URL);
const options = { apiHostname: url.hostname, port: Number(url.port), https: false };
const logs = new WorkOS(process.env.KEY, options).auditLogs;
const stranger = new WorkOS('sk_nobody', options).auditLogs;
const acme = process.env.ORGANIZATION;
const results = {};

const event = (action = 'node.signed_in', change = {}) => ({
  action,
  occurredAt: new Date(),
  actor: { id: 'user_1', type: 'user', name: 'Ada', metadata: { role: 'admin' } },
  targets: [{ id: 'team_1', type: 'team' }],
  context: { location: '203.0.113.7', userAgent: 'Firefox' },
  metadata: { attempt: 1, sso: true },
  ...change,
});

async function call(name, work) {
  try {
    const result = await work();
    results[name] = result === undefined ? true : result;
  } catch (e) {
    results[name] = { error: e.name, code: e.code, message: e.message, request: Boolean(e.requestID) };
  }
}

async function exported(filters = {}) {
  const hour = 3600 * 1000;
  const now = Date.now();
  let made = await logs.createExport({ organizationId: acme, rangeStart: new Date(now - hour), rangeEnd: new Date(now + hour), actions: ['node.signed_in'], ...filters });
  const until = Date.now() + 120 * 1000;
  while (made.state === 'pending' && Date.now() < until) {
    await new Promise((wake) => setTimeout(wake, 100));
    made = await logs.getExport(made.id);
  }
  const file = await fetch(made.url);
  return { state: made.state, lines: (await file.text()).trim().split('\n').length };
}

(async () => {
  const once = event();
  await call('keyed', () => logs.createEvent(acme, once, { idempotencyKey: 'node-1' }));
  await call('again', () => logs.createEvent(acme, once, { idempotencyKey: 'node-1' }));
  await call('unkeyed', () => logs.createEvent(acme, event('node.signed_out')));
  await call('no organization', () => logs.createEvent('org_nobody', event()));
  await call('invalid', () => logs.createEvent(acme, event('node.signed_in', { metadata: { 'a b': 'c' } })));
  await call('unprocessable', () => logs.createEvent(acme, event('node.signed_in', { action: undefined })));
  await call('stranger', () => stranger.createEvent(acme, event()));
  await call('schema', async () => (await logs.createSchema({ action: 'node.paid', targets: [{ type: 'invoice' }] })).version);
  await call('same schema', async () => (await logs.createSchema({ action: 'node.paid', targets: [{ type: 'invoice' }] })).version);
  await call('whole schema', async () => {
    const made = await logs.createSchema({ action: 'node.refunded', targets: [{ type: 'invoice', metadata: { total: 'number' } }], actor: { metadata: { role: 'string' } }, metadata: { total: 'number' } });
    return [made.object, made.version, made.targets[0].type, !Number.isNaN(Date.parse(made.createdAt))];
  });
  await call('next schema', async () => (await logs.createSchema({ action: 'node.paid', targets: [{ type: 'receipt' }] })).version);
  await call('export', exported);
  await call('export of one', () => exported({ actorNames: ['Ada'], actorIds: ['user_1'], targets: ['team'] }));
  await call('export of nobody', () => exported({ actorIds: ['user_2'] }));
  await call('export of no organization', async () => (await logs.createExport({ organizationId: 'org_nobody', rangeStart: new Date(0), rangeEnd: new Date() })).id);
  await call('no export', async () => (await logs.getExport('audit_log_export_nobody')).id);
  console.log(JSON.stringify(results));
})();
