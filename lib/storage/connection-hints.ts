/**
 * What is wrong and what would be right where a connection failed or brought no answer.
 * @param code the system's, or Node's
 * @param place that was to be reached, in words
 * @param setting that says where it is
 * @param skipVerify setting that leaves out the check of its certificate
 * @returns undefined when the code says nothing of a connection
 */
export function connectionHint(
  code: string,
  { place, setting, skipVerify }: Readonly<Record<'place' | 'setting' | 'skipVerify', string>>,
): string | undefined {
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `the host of ${place} is not found; check ${setting}`;
    case 'ECONNREFUSED':
      return `nothing listens at ${place}; check ${setting}`;
    case 'EPROTO':
      return `${place} does not speak TLS; check ${setting}, which may have to begin with http://`;
    case 'ECONNRESET':
    case 'EPIPE':
      return `${place} cut the connection; check ${setting}, which may have to begin with https://`;
    case 'ETIMEDOUT':
    case 'TimeoutError':
    case 'AbortError':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return `${place} does not answer (${code}); check ${setting}`;
    case 'CERT_HAS_EXPIRED':
      return `the certificate of ${place} has expired`;
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `the certificate of ${place} is for another host; check ${setting}`;
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
      return (
        `the certificate of ${place} is signed by an authority that is not known here; give it in NODE_EXTRA_CA_CERTS, ` +
        `or set ${skipVerify}=true for a test`
      );
    default:
      return undefined;
  }
}

/** In the code or the message of an error that may repeat what was signed, and with which key or token. */
export const maybeSecret = /signature|credential|authorization|access ?key|token|string ?to ?sign|AWS4-HMAC/i;
