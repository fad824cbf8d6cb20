/*
 * A small HTTP server behind REGISTRY_AUTH=htpasswd, as a process of its own: `server.ts FILE PORT`. It answers 200 to who has
 * logged in.
 */
import { createServer } from 'node:http';
import { HtpasswdAccess } from '../../../lib/access/htpasswd/access-control.ts';
import { Htpasswd } from '../../../lib/access/htpasswd/htpasswd.ts';
import { RegistryError } from '../../../lib/protocol/errors.ts';

const [, , path = '', port = ''] = process.argv;
const htpasswd = await Htpasswd.open({ kind: 'file', path }, { warn: console.error });
const access = new HtpasswdAccess(htpasswd, 'registry');

const server = createServer((request, response) => {
  const { authorization } = request.headers;
  access
    .authenticate({ authorization, address: request.socket.remoteAddress, origin: 'http://localhost' })
    .then(
      (caller) => {
        response.writeHead(caller.decideLogin().outcome === 'allow' ? 200 : 401).end();
      },
      (error: unknown) => {
        const status = error instanceof RegistryError ? error.status : 500;
        response.writeHead(status, error instanceof RegistryError ? error.headers : {}).end();
      },
    );
});
server.listen(Number(port), '127.0.0.1');
process.once('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
  void access.close();
});
