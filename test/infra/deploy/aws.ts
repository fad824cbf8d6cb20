import assert from 'node:assert/strict';
import {
  CreateSecretCommand,
  DescribeSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
} from '@aws-sdk/client-secrets-manager';
import type { Account } from '../../../infra/deploy/account.ts';

interface Value {
  readonly text: string | undefined;
  readonly version: string;
}

const named = (name: string) => Object.assign(new Error(name), { name });

/** Secrets Manager as far as a deployment uses it, and a stack. */
export class Aws {
  readonly values = new Map<string, Value>();
  /** Sees each request to Secrets Manager before it is answered. */
  onRequest: (command: object) => Promise<unknown> = async () => {
    await Promise.resolve();
  };
  stack: { StackStatus: string; CreationTime: Date } | undefined;

  readonly account = {
    id: '123456789012',
    secrets: {
      send: async (command: object) => {
        await this.onRequest(command);
        return this.#answer(command);
      },
    },
    cloudformation: {
      send: async () => {
        await Promise.resolve();
        if (this.stack === undefined) throw new Error('Stack with id stowage-dev does not exist');
        return { Stacks: [this.stack] };
      },
    },
  } as unknown as Account;

  #answer(command: object): object {
    if (command instanceof CreateSecretCommand) {
      const { Name = '', SecretString: text, ClientRequestToken: version = '' } = command.input;
      if (this.values.has(Name)) throw named('ResourceExistsException');
      this.values.set(Name, { text, version });
      return { VersionId: version };
    }
    if (command instanceof PutSecretValueCommand) {
      const { SecretId = '', SecretString: text, ClientRequestToken: version = '' } = command.input;
      if (!this.values.has(SecretId)) throw named('ResourceNotFoundException');
      this.values.set(SecretId, { text, version });
      return {};
    }
    assert.ok(command instanceof GetSecretValueCommand || command instanceof DescribeSecretCommand);
    const value = this.values.get(command.input.SecretId ?? '');
    if (value === undefined) throw named('ResourceNotFoundException');
    if (command instanceof DescribeSecretCommand) return {};
    if (value.text === undefined) throw named('ResourceNotFoundException');
    return { SecretString: value.text, VersionId: value.version };
  }
}
