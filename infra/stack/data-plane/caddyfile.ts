/** What Caddy stands before. */
export interface CaddySite {
  /** Where clients reach it: a host name for which Caddy gets a certificate by ACME, or a URL. */
  readonly address: string;
  /** Base URL of the gateway before the functions, without a path. */
  readonly api: string;
  /** `host:port` of the data plane. */
  readonly dataPlane: string;
  /** Further lines of the global options, and of the site, for tests. */
  readonly globalOptions?: readonly string[];
  readonly siteOptions?: readonly string[];
}

/**
 * Caddy as the one address of both planes: uploads in progress and signed URLs of blobs go to the data plane, all else to
 * the functions. For Caddy 2.6, which Debian 12 and 13 have. Bodies are streamed in both directions, of any size.
 */
export function caddyfile({
  address,
  api,
  dataPlane,
  globalOptions = [],
  siteOptions = [],
}: CaddySite): string {
  return `{
	# Its configuration changes with a restart only. What else runs on this machine could change it by the API.
	admin off
${globalOptions.map((line) => `\t${line}\n`).join('')}	servers {
		# Without HTTP/3, which would need a port of UDP.
		protocols h1 h2
		timeouts {
			read_header 60s
			idle 120s
		}
	}
}

# Both planes believe X-Forwarded-For, which Caddy sets. A client's Forwarded would contradict it.
(upstream) {
	header_up -Forwarded
	# The data plane would log a client's as the id of the request. Each plane makes its own.
	header_up -X-Request-Id
	# The data plane keeps idle connections for 120 s, the gateway for longer.
	transport http {
		dial_timeout 5s
		keepalive 60s
		compression off
	}
}

(data-plane) {
	reverse_proxy ${dataPlane} {
		import upstream
		# A data plane that restarts takes no connections for a few seconds.
		lb_try_duration 20s
		lb_try_interval 250ms
	}
}

${address} {
${siteOptions.map((line) => `\t${line}\n`).join('')}	@upload path_regexp ^/v2/.+/blobs/uploads/[^/]+$
	handle @upload {
		import data-plane
	}

	@signed {
		path_regexp ^/v2/.+/blobs/[^/]+$
		query signature=*
	}
	handle @signed {
		import data-plane
	}

	handle {
		reverse_proxy ${api} {
			header_up Host {upstream_hostport}
			# The gateway makes Forwarded of these, where an element that names no client hides those before it. The functions
			# know their host.
			header_up -X-Forwarded-Host
			header_up -X-Forwarded-Proto
			import upstream

			# The length of an answer to HEAD, which a gateway may drop, is sent a second time.
			@length header Stowage-Content-Length *
			handle_response @length {
				copy_response_headers {
					exclude Content-Length Stowage-Content-Length
				}
				header Content-Length {rp.header.Stowage-Content-Length}
				respond "" {rp.status_code}
			}
		}
	}
}
`;
}
