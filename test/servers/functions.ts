/** The functions behind a gateway, as a program that can be killed. It listens at PORT. */
import { startGateway } from './gateway.ts';
import { handlers } from './handlers.ts';

await startGateway(handlers, { port: Number(process.env['PORT']) });
