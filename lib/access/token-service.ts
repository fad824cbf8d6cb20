/*
 * The interface of the token service behind `GET` and `POST /token`, without HTTP (Docker Registry v2 authentication, "Token
 * Authentication Specification" and "OAuth2 Token Authentication").
 */

/** The credentials of a client. */
export type Login =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  | { readonly kind: 'refresh'; readonly token: string };

export interface TokenRequest {
  readonly login: Login;
  /** As sent, such as `repository:team/app:pull,push`. */
  readonly scopes: readonly string[];
  readonly service: string | undefined;
  /** Whether the client asks for a refresh token. */
  readonly offline: boolean;
  /** The client's address, for throttling. */
  readonly address: string | undefined;
}

export interface TokenResponse {
  readonly token: string;
  readonly access_token: string;
  /** Seconds, at least 60. */
  readonly expires_in: number;
  /** RFC 3339. */
  readonly issued_at: string;
  /** The granted scopes, separated by spaces. */
  readonly scope: string;
  readonly refresh_token?: string;
}

export interface TokenService {
  /** @throws RegistryError UNAUTHORIZED for wrong credentials, QUERY_INVALID, TOO_MANY_REQUESTS, BUSY, UNAVAILABLE */
  issue(request: TokenRequest): Promise<TokenResponse>;
}
