/** What clients do with a registry where one must log in: one list of checks for all of them. */
import assert from 'node:assert/strict';
import { passwordOf } from '../access/policy-registry.ts';
import {
  createRobot,
  frozenRule,
  pushWhileTokenExpires,
  type Expiry,
  type ProtectedRegistry,
} from '../access/protected-registry.ts';

/** A client of registries with credentials and images of its own. References begin with the registry's address. */
export interface AccessClient {
  /** Whether it tells its user what the registry says of a denied push. */
  readonly showsRules: boolean;
  /** When its token can expire. */
  readonly expiry: Expiry;
  /** Logs in. Rejects where the client looks at the credentials at once, and they are wrong. */
  login(host: string, user: string, password: string): Promise<unknown>;
  logout(host: string): Promise<unknown>;
  /** Pushes one of two images of which no registry has anything. @returns what {@link pull} returns of it */
  push(reference: string, image?: 'first' | 'second'): Promise<string>;
  /** Pulls all of an image. @returns what tells it from others */
  pull(reference: string): Promise<string>;
}

/** Checks by title. A failed check rejects. */
export type Flows = Readonly<Record<string, () => Promise<void>>>;

/**
 * How clients say that they were refused, and not that anything else is wrong. containerd 1.6 may write on when the response is
 * there, and says only that. BuildKit tries a wrong password in parallel until that is too often.
 */
const refused =
  /read\/write on closed pipe|unauthorized|denied|\b40[13]\b|too many wrong passwords|\b429\b|basic (auth credentials|credential not found)|authorization failed|invalid username\/password/i;

const wrongPassword = 'not the password';

/** A client and what it talks to. */
export interface Subject {
  readonly client: AccessClient;
  readonly registry: ProtectedRegistry;
}

/**
 * With `REGISTRY_AUTH=htpasswd`, which clients answer with Basic credentials, and policy, which they answer with tokens.
 * @param name of the client
 */
export function loginFlows(name: string, subject: () => Subject): Flows {
  const setUp = () => {
    const { client, registry } = subject();
    const { address } = registry;
    return { client, address, app: `${address}/team/${name}/app:0.1.0` };
  };
  return {
    [`${name} is refused without a login`]: async () => {
      const { client, app } = setUp();
      await assert.rejects(client.pull(app), refused);
      await assert.rejects(client.push(app), refused);
    },

    [`${name} is refused with a wrong password`]: async () => {
      const { client, address, app } = setUp();
      const logInAndPush = async () => {
        await client.login(address, 'alice', wrongPassword);
        await client.push(app);
      };
      await assert.rejects(logInAndPush(), refused);
    },

    [`${name} logs in with a right password, and pulls what it has pushed`]: async () => {
      const { client, address, app } = setUp();
      await client.login(address, 'alice', passwordOf('alice'));
      const pushed = await client.push(app);
      assert.equal(await client.pull(app), pushed);
    },

    [`${name} is refused again after a logout`]: async () => {
      const { client, address, app } = setUp();
      await client.logout(address);
      await assert.rejects(client.pull(app), refused);
    },
  };
}

/** With `REGISTRY_AUTH=policy`. @param name of the client */
export function policyFlows(name: string, subject: () => Subject): Flows {
  const setUp = async () => {
    const { client, registry } = subject();
    const { address } = registry;
    await client.login(address, 'alice', passwordOf('alice'));
    const named = (folder: string, tag: string) => `${address}/${folder}/${name}/app:${tag}`;
    return { client, registry, address, named };
  };
  return {
    [`${name} pulls from a public repository without a login, and cannot push to it`]: async () => {
      const { client, address, named } = await setUp();
      const pushed = await client.push(named('public', '0.1.0'));
      await client.logout(address);
      assert.equal(await client.pull(named('public', '0.1.0')), pushed);
      await assert.rejects(client.push(named('public', '0.2.0')), refused);
    },

    [`${name} cannot push where a rule denies it`]: async () => {
      const { client, named } = await setUp();
      await assert.rejects(client.push(named('frozen', '0.1.0')), (error: Error) => {
        assert.match(error.message, refused);
        assert.equal(error.message.includes(frozenRule), client.showsRules, error.message);
        return true;
      });
    },

    [`${name} pushes an immutable tag once`]: async () => {
      const { client, named } = await setUp();
      const pushed = await client.push(named('team', '1.0.0'));
      await client.push(named('team', '1.0.0'));
      await assert.rejects(client.push(named('team', '1.0.0'), 'second'), refused);
      assert.equal(await client.pull(named('team', '1.0.0')), pushed);
    },

    [`${name} pulls with the token of a robot, which may not push`]: async () => {
      const { client, registry, address, named } = await setUp();
      const pushed = await client.push(named('team', '0.1.0'));
      const pattern = `team/${name}/*`;
      const password = await createRobot(registry, '--name', 'ci', '--pull', pattern, '--expires', '1h');
      await client.logout(address);
      await client.login(address, 'ci', password);
      assert.equal(await client.pull(named('team', '0.1.0')), pushed);
      await assert.rejects(client.push(named('team', '0.2.0'), 'second'), refused);
      await client.logout(address);
    },
  };
}

/** With a registry of its own, through `stowage serve`. @param name of the client */
export function expiryFlows(name: string, subject: () => Pick<Subject, 'client'>): Flows {
  return {
    [`${name} pushes on with another token when the first expires in mid-push`]: async () => {
      const { client } = subject();
      await pushWhileTokenExpires(client.expiry, async (address) => {
        await client.login(address, 'alice', passwordOf('alice'));
        const reference = `${address}/team/${name}/app:1.0.0`;
        const pushed = await client.push(reference);
        assert.equal(await client.pull(reference), pushed);
        await client.logout(address);
      });
    },
  };
}
