import { GetRolePolicyCommand, PutRolePolicyCommand } from '@aws-sdk/client-iam';
import {
  GetFunctionConfigurationCommand,
  UpdateFunctionConfigurationCommand,
  waitUntilFunctionUpdatedV2,
} from '@aws-sdk/client-lambda';
import type { AwsClients } from '../../servers/ministack.ts';
import type { Operations, Site } from './site.ts';

interface Statement {
  readonly Action: readonly string[];
  readonly Resource: unknown;
}

interface PolicyDocument {
  readonly Version: string;
  readonly Statement: readonly Statement[];
}

/** The name of the only policy of each role. */
const PolicyName = 'rights';

/** A function whose rights can be taken away. */
export class DeployedFunction {
  readonly #aws: AwsClients;
  readonly #name: string;
  #role = '';
  #variables: Readonly<Record<string, string>> = {};
  #restarts = 0;
  #document: PolicyDocument = { Version: '2012-10-17', Statement: [] };

  private constructor(aws: AwsClients, name: string) {
    this.#aws = aws;
    this.#name = name;
  }

  static async open(aws: AwsClients, name: string): Promise<DeployedFunction> {
    const opened = new DeployedFunction(aws, name);
    const { Role = '', Environment } = await opened.#configuration();
    opened.#variables = Environment?.Variables ?? {};
    opened.#role = Role.replace(/.*\//, '');
    const { PolicyDocument = '' } = await aws.iam.send(
      new GetRolePolicyCommand({ RoleName: opened.#role, PolicyName }),
    );
    opened.#document = JSON.parse(decodeURIComponent(PolicyDocument)) as PolicyDocument;
    return opened;
  }

  /** In the order of the table of rights. */
  get statements(): readonly Statement[] {
    return this.#document.Statement;
  }

  /** Takes one action out of one statement. */
  async takeAway(index: number, action: string): Promise<void> {
    const others = this.statements.flatMap((statement, i) => {
      if (i !== index) return [statement];
      const left = statement.Action.filter((one) => one !== action);
      return left.length === 0 ? [] : [{ ...statement, Action: left }];
    });
    await this.#put({ ...this.#document, Statement: others });
  }

  async giveBack(): Promise<void> {
    await this.#put(this.#document);
  }

  /**
   * Ends its instances, as any change of its configuration does.
   * @param secret the name of one that new instances do not ask for: they would all fail without the right to read it, also
   *   where nothing uses it
   */
  async restart({ without: secret }: { readonly without?: string | undefined } = {}): Promise<void> {
    const { REGISTRY_SECRETS = '', ...others } = this.#variables;
    const secrets = REGISTRY_SECRETS.split(',').filter((name) => name !== secret);
    const Variables = {
      ...others,
      RESTARTS: String((this.#restarts += 1)),
      ...(secrets.join() !== '' && { REGISTRY_SECRETS: secrets.join() }),
    };
    const request = { FunctionName: this.#name, Environment: { Variables } };
    await this.#aws.lambda.send(new UpdateFunctionConfigurationCommand(request));
    const waiter = { client: this.#aws.lambda, maxWaitTime: 30, minDelay: 0.1, maxDelay: 1 };
    await waitUntilFunctionUpdatedV2(waiter, { FunctionName: this.#name });
  }

  async #configuration() {
    return await this.#aws.lambda.send(new GetFunctionConfigurationCommand({ FunctionName: this.#name }));
  }

  async #put(document: PolicyDocument): Promise<void> {
    await this.#aws.iam.send(
      new PutRolePolicyCommand({
        RoleName: this.#role,
        PolicyName,
        PolicyDocument: JSON.stringify(document),
      }),
    );
  }
}

/** The first operation that fails, with its error; undefined if all succeed. */
export async function firstFailure(site: Site, operations: Operations): Promise<string | undefined> {
  for (const [title, operation] of Object.entries(operations))
    try {
      await operation(site);
    } catch (error) {
      return `${title}: ${error instanceof Error ? error.message : String(error)}`;
    }
  return undefined;
}
