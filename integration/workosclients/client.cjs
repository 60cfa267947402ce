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

async function exported() {
  const hour = 3600 * 1000;
  const now = Date.now();
  let made = await logs.createExport({ organizationId: acme, rangeStart: new Date(now - hour), rangeEnd: new Date(now + hour), actions: ['node.signed_in'] });
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
  await call('export', exported);
  console.log(JSON.stringify(results));
})();
