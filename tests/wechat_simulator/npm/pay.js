// node-easywechat's WeChat Pay as published, against the simulated one: certificates, an order, notifications it checks.
'use strict';
const http = require('http');
const { Pay } = require('node-easywechat');
const ServerRequest = require('node-easywechat/dist/Core/Http/ServerRequest');

const settings = JSON.parse(process.argv[2]);

const app = new Pay({
  mch_id: settings.mchid,
  private_key: settings.private_key,
  certificate: settings.certificate,
  secret_key: settings.api_v3_key,
  http: { baseURL: settings.url + '/', throw: false },
});

function say(kind, value) {
  process.stdout.write(JSON.stringify({ kind, value }) + '\n');
}

async function serve() {
  const server = http.createServer(async (incoming, outgoing) => {
    let status = 204;
    try {
      const request = await ServerRequest.createFromIncomingMessage(incoming);
      await app.getValidator().validate(request);
      app.setRequest(request);
      const message = await app.getServer().getDecryptedMessage();
      say('notified', message.toObject());
    } catch (error) {
      say('refused', error.message);
      status = 500;
    }
    outgoing.writeHead(status);
    outgoing.end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  process.stdin.on('end', () => server.close(() => process.exit(0)));
  process.stdin.resume();
  return server.address().port;
}

(async () => {
  const port = await serve();
  const client = app.getClient();
  const certificates = await app.getMerchant().getPlatformCerts();
  const made = (await client.post('/v3/pay/transactions/jsapi', {
    data: {
      appid: settings.appid, mchid: settings.mchid, description: '会员礼盒', out_trade_no: settings.out_trade_no,
      notify_url: `http://127.0.0.1:${port}/notify`, amount: { total: 100, currency: 'CNY' }, payer: { openid: settings.openid },
    },
  })).toObject();
  const query = (await client.get(`/v3/pay/transactions/out-trade-no/${settings.out_trade_no}`, {
    params: { mchid: settings.mchid },
  })).toObject();
  say('ready', { serials: Object.keys(certificates), made, query, request: app.getUtils().buildBridgeConfig(made.prepay_id, settings.appid) });
})().catch((error) => {
  say('error', String(error && error.stack));
  process.exit(1);
});
