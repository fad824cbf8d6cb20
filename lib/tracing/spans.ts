import {
  defaultTextMapGetter,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Span,
  type Tracer,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { handlerLabel, methodLabel } from '../metrics/handlers.ts';
import { requestScope, type RequestScope } from '../request-scope.ts';
import { outcomeOf, type BucketOutcome } from '../storage/bucket-requests.ts';
import type { Telemetry } from '../telemetry.ts';

/** Outcomes of requests to the bucket that are no faults. */
const ordinary: ReadonlySet<BucketOutcome> = new Set(['success', 'not_found', 'precondition_failed']);

/**
 * A span for each request to an endpoint, which continues the caller's trace (W3C Trace Context), and below it one for each request
 * to the bucket. Their names are the labels of metrics: `GET manifest`, `PutObject`.
 */
export function spansOf(tracer: Tracer): Telemetry {
  const propagator = new W3CTraceContextPropagator();
  const spans = new WeakMap<RequestScope, Span>();
  return {
    requestRouted: (scope, headers) => {
      if (scope.route?.group === 'health') return;
      const handler = handlerLabel(scope.route);
      const method = methodLabel(scope.method).toUpperCase();
      const parent = propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
      const attributes = {
        'http.request.method': method === 'UNKNOWN' ? '_OTHER' : method,
        'stowage.handler': handler,
        'stowage.request_id': scope.id,
      };
      const span = tracer.startSpan(`${method} ${handler}`, { kind: SpanKind.SERVER, attributes }, parent);
      spans.set(scope, span);
    },
    requestEnded: (scope, { status, isComplete }) => {
      const span = spans.get(scope);
      if (span === undefined) return;
      span.setAttributes({
        'http.response.status_code': status,
        'http.request.body.size': scope.bytesReceived,
        'http.response.body.size': scope.bytesSent,
        'stowage.bucket_requests': scope.bucketRequests,
      });
      if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
      if (!isComplete) span.setAttribute('stowage.cut', true);
      span.end();
    },
    bucketRequest: (operation) => {
      const scope = requestScope();
      const parent = scope && spans.get(scope);
      if (parent === undefined) return () => undefined;
      const context = trace.setSpan(ROOT_CONTEXT, parent);
      const span = tracer.startSpan(operation, { kind: SpanKind.CLIENT }, context);
      return (end) => {
        const outcome = outcomeOf(end);
        span.setAttribute('stowage.outcome', outcome);
        if (end.status !== undefined) span.setAttribute('http.response.status_code', end.status);
        if (!ordinary.has(outcome)) span.setStatus({ code: SpanStatusCode.ERROR });
        span.end();
      };
    },
  };
}
