// node-easywechat as published, against the simulated WeChat: API calls, then one push answered over its own crypto.
'use strict';
const http = require('http');
const { OfficialAccount } = require('node-easywechat');
const ServerRequest = require('node-easywechat/dist/Core/Http/ServerRequest');

const settings = JSON.parse(process.argv[2]);

function application(stable) {
  return new OfficialAccount({
    app_id: settings.appid,
    secret: settings.secret,
    token: settings.token,
    aes_key: settings.aes_key,
    use_stable_access_token: stable,
    http: { baseURL: settings.url + '/', throw: false },
  });
}

function say(kind, value) {
  process.stdout.write(JSON.stringify({ kind, value }) + '\n');
}

async function api(app) {
  const client = app.getClient();
  const get = async (path, params) => (await client.get(path, { params })).toObject();
  const post = async (path, json) => (await client.post(path, { json })).toObject();
  const openid = settings.openid;
  const tag = (await post('/cgi-bin/tags/create', { tag: { name: '金卡' } })).tag;
  return {
    user: await get('/cgi-bin/user/info', { openid, lang: 'zh_CN' }),
    fans: await get('/cgi-bin/user/get', { next_openid: '' }),
    tagged: await post('/cgi-bin/tags/members/batchtagging', { openid_list: [openid], tagid: tag.id }),
    tags: await get('/cgi-bin/tags/get', {}),
    menu: await post('/cgi-bin/menu/create', { button: [{ type: 'click', name: '会员中心', key: 'MEMBER' }] }),
    code: await post('/cgi-bin/qrcode/create', {
      expire_seconds: 600, action_name: 'QR_STR_SCENE', action_info: { scene: { scene_str: 's:021' } },
    }),
    template: await post('/cgi-bin/message/template/send', {
      touser: openid, template_id: settings.template_id, client_msg_id: 'npm-1', data: settings.data,
    }),
    custom: await post('/cgi-bin/message/custom/send', { touser: openid, msgtype: 'text', text: { content: '你好' } }),
    refused: await post('/cgi-bin/message/custom/send', { touser: 'nobody', msgtype: 'text', text: { content: 'x' } }),
  };
}

async function serve() {
  const server = http.createServer(async (incoming, outgoing) => {
    const app = application(true);
    app.setRequest(await ServerRequest.createFromIncomingMessage(incoming));
    const handlers = app.getServer();
    handlers.addMessageListener('text', (message) => {
      say('push', { content: message.Content, from: message.FromUserName });
      return '收到：' + message.Content;
    });
    const response = await handlers.serve();
    outgoing.writeHead(response.getStatusCode(), response.getHeaders());
    outgoing.end(response.getBody());
  });
  server.listen(0, '127.0.0.1', () => say('listening', server.address().port));
  process.stdin.on('end', () => server.close(() => process.exit(0)));
  process.stdin.resume();
}

(async () => {
  say('normal', await api(application(false)));
  say('stable', (await application(true).getClient().get('/cgi-bin/tags/get', { params: {} })).toObject());
  await serve();
})().catch((error) => {
  say('error', String(error && error.stack));
  process.exit(1);
});
