import type { Parameters } from '../parameters.ts';
import type { Template } from '../template.ts';
import { fargate } from './fargate.ts';
import { instance } from './instance.ts';

/** The data plane, if there is one. */
export function dataPlane(parameters: Parameters): Template {
  if (parameters.dataPlane === 'none') return { Resources: {} };
  return parameters.dataPlane === 'instance' ? instance(parameters) : fargate(parameters);
}
