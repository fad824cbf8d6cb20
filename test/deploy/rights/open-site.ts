import assert from 'node:assert/strict';
import { InvokeCommand } from '@aws-sdk/client-lambda';
import {
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { Client } from '../../functions/client.ts';
import { serve } from '../../servers/stowage.ts';
import { UserClient } from '../client.ts';
import { bucketSettings } from '../data-plane.ts';
import type { Place, Stage } from '../stage.ts';
import type { RawBucket, Site } from './site.ts';

/** Opens the site of a stage with a bucket. @returns it, and what closes it */
export async function openSite(
  { emulator, s3 }: Place,
  stage: Stage,
  bucket: string,
): Promise<{ readonly site: Site; readonly close: () => Promise<void> }> {
  const direct = await serve(bucketSettings({ emulator, s3 }, bucket));
  const beforeRequests: Site['beforeRequests'] = new Set();
  const intercept = s3.intercept;
  s3.intercept = async (request, index) => {
    for (const before of beforeRequests) {
      const answer = await before(request);
      if (answer !== undefined) return answer;
    }
    return await intercept(request, index);
  };
  return {
    site: {
      client: new UserClient(`http://${stage.address}`, stage.user),
      direct: new Client(`http://${direct.address}`),
      bucket: rawBucket(emulator.aws.s3, bucket),
      beforeRequests,
      get agedMs() {
        return s3.agedMs;
      },
      set agedMs(agedMs) {
        s3.agedMs = agedMs;
      },
      invoke: async (job) => {
        const { FunctionError, Payload } = await emulator.aws.lambda.send(
          new InvokeCommand({ FunctionName: stage.functionName(job) }),
        );
        assert.equal(FunctionError, undefined, `${job} failed: ${Payload?.transformToString() ?? ''}`);
      },
    },
    close: async () => {
      s3.intercept = intercept;
      await direct.stop();
    },
  };
}

function rawBucket(s3: S3Client, Bucket: string): RawBucket {
  return {
    put: async (Key, Body) => {
      await s3.send(new PutObjectCommand({ Bucket, Key, Body }));
    },
    delete: async (Key) => {
      await s3.send(new DeleteObjectCommand({ Bucket, Key }));
    },
    keys: async (Prefix) => {
      const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket, Prefix }));
      return Contents.map(({ Key = '' }) => Key);
    },
    startMultipart: async (Key) => {
      await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    },
    multiparts: async () => {
      const { Uploads = [] } = await s3.send(new ListMultipartUploadsCommand({ Bucket }));
      return Uploads.map(({ Key = '' }) => Key);
    },
  };
}
