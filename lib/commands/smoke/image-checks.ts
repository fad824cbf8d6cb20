import { pushScope, repositoryPath, type Check, type Context } from './check.ts';
import { manifestType, type Blob } from './content.ts';
import { errorCode, fail, shown } from './failure.ts';
import { chunked, chunkSize, config, imageOf, large, mebibyte, small, tagOf } from './layers.ts';
import { pullBlob, pullChecks } from './pull-checks.ts';
import { pushBlob, pushChunks, putBlob, startUpload, type Client } from './push.ts';

const clients: readonly Client[] = ['docker', 'containerd', 'oras'];
const ways: Readonly<Record<Client, string>> = {
  docker: 'docker: PATCH without length, then PUT',
  containerd: 'containerd: one PUT',
  oras: 'oras: one PUT at the same host',
};

/** Images that are pushed and pulled. */
export function imageChecks(isLarge: boolean): readonly Check[] {
  return [
    ...clients.map((client) =>
      pushCheck(`push-${client}`, `push a small layer as ${ways[client]}`, client, small[client]),
    ),
    {
      name: 'push-chunks',
      title: 'push a layer of 5 MiB in chunks of 4 MiB, as regctl',
      needs: ['login'],
      run: async (context) => {
        await pushChunks(context, chunked, chunkSize);
        return undefined;
      },
    },
    {
      name: 'push-image',
      title: 'push a manifest',
      needs: ['push-docker', 'push-containerd'],
      run: pushImage,
    },
    ...pullChecks,
    ...(isLarge ? largeChecks() : [refusedCheck()]),
  ];
}

function largeChecks(): Check[] {
  const size = ({ bytes }: Blob) => `${bytes.length / mebibyte} MiB`;
  return clients.flatMap((client): Check[] => {
    const name = `push-large-${client}`;
    return [
      pushCheck(name, `push a layer of ${size(large[client])} as ${ways[client]}`, client, large[client]),
      {
        name: `pull-large-${client}`,
        title: `pull the layer of ${size(large[client])}`,
        needs: [name],
        run: async (context) => {
          await pullBlob(context, large[client]);
          return undefined;
        },
      },
    ];
  });
}

function pushCheck(name: string, title: string, client: Client, blob: Blob): Check {
  const run = async (context: Context) => {
    await pushBlob(context, client, blob);
    return undefined;
  };
  return { name, title, needs: ['login'], run };
}

/** Without a data plane: a layer that is too large gets an answer, and not a cut connection. */
function refusedCheck(): Check {
  return {
    name: 'refused-large',
    title: 'a layer of 7 MiB is refused clearly where there is no data plane',
    needs: ['login'],
    run: async (context) => {
      const location = await startUpload(context);
      const reply = await putBlob(context, location, large.containerd);
      if (reply.status === 201)
        return 'it was taken: large layers can be pushed, so run this without --no-large';
      if (reply.status !== 413)
        fail(
          reply,
          shown(reply),
          'A body that is too large is refused with 413, so that people see the reason',
        );
      return 'docker, containerd and podman push layers up to 4 MiB, and clients that push in chunks, such as regctl, any; for others add a data plane';
    },
  };
}

async function pushImage(context: Context): Promise<undefined> {
  await pushBlob(context, 'containerd', config);
  // What oras cannot push at two addresses is part of the image all the same.
  await pushBlob(context, 'containerd', small.oras);
  const { bytes, digest } = imageOf(context);
  const path = repositoryPath(context, `manifests/${tagOf(context)}`);
  const put = { method: 'PUT', headers: { 'content-type': manifestType }, body: bytes };
  // Whether there is an answer or not, it may be there.
  context.pushed.set(tagOf(context), digest);
  const reply = await context.session.ask(pushScope(context), path, put);
  if (reply.status !== 201) {
    context.pushed.delete(tagOf(context));
    fail(
      reply,
      shown(reply),
      errorCode(reply) === 'MANIFEST_INVALID'
        ? 'The manifest or its type was changed on the way: proxies must pass Content-Type and the body as they are'
        : 'The user needs the right to push; the log of the registry says more',
    );
  }
  const named = reply.headers['docker-content-digest'];
  if (named !== digest)
    fail(
      reply,
      `201 with Docker-Content-Digest: ${String(named ?? 'none')}`,
      'A proxy must pass the header Docker-Content-Digest: docker fails without',
    );
  return undefined;
}
