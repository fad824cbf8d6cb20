/** Parts of what the suite wrote of real runs, in which blobs of sha512 failed and tags could not be deleted. */

export const resultsYaml = `config:
  registry: 127.0.0.1:5970
  tls: disabled
  apis:
    ping: true
    blobs:
      atomic: true
  data:
    sparse: false
    sha512: true
  resultsDir: /tmp/results
  version: "1.1"
  commit: unknown
apis:
  Blob anonymous mount: Skip
  Blob get: FAIL
  Ping: Pass
  Tag delete: Disabled
data:
  Artifact: Pass
  Blobs sha512: FAIL
  Nested Index: Pass
  Sparse Manifests: Disabled
`;

export const junitXml = `<testsuites time="4.767161" tests="841" failures="119" skipped="30" disabled="17">
  <testsuite name="OCI Conformance Test" tests="841" failures="119" errors="0" disabled="17" skipped="30" time="4.767161">
    <properties>
      <property name="Config" value="registry: 127.0.0.1:5970&#xA;tls: disabled&#xA;username: &#34;&#34;&#xA;"></property>
    </properties>
    <testcase name="OCI Conformance Test/ping" classname="" time="0.013686" status="passed">
      <system-err>================&#xA;~~~ REQUEST ~~~&#xA;Method: GET&#xA;URL: http://127.0.0.1:5970/v2/&#xA;</system-err>
    </testcase>
    <testcase name="OCI Conformance Test/empty/referrers" classname="" time="0.001658" status="failure">
      <system-out>header value mismatch for &#34;Content-Type&#34;, expected &#34;application/vnd.oci.image.index.v1+json&#34;, received [&#34;application/json&#34;]&#xA;unexpected status code, expected one of [200], received 404</system-out>
      <system-err>================&#xA;~~~ REQUEST ~~~&#xA;Method: GET&#xA;</system-err>
    </testcase>
    <testcase name="OCI Conformance Test/sha256 blobs/mount anonymous/blob-mount-anonymous" classname="" time="0.016932" status="skipped">
      <system-out>registry returned status 202, fell back to blob POST+PUT</system-out>
      <system-err>================&#xA;~~~ REQUEST ~~~&#xA;Method: POST&#xA;</system-err>
    </testcase>
    <testcase name="OCI Conformance Test/sha256 blobs/post cancel/blob-post-cancel" classname="" time="0.000033" status="skipped">
      <system-err>OCI Conformance Test/sha256 blobs/post cancel/blob-post-cancel: skipping test:&#xA;  api Blob upload cancel is disabled in the configuration&#xA;</system-err>
    </testcase>
    <testcase name="OCI Conformance Test/missing-subject/push/manifest-by-digest" classname="" time="0.002" status="failure">
      <system-out>manifest put failed: header value mismatch for &#34;OCI-Subject&#34;, expected &#34;sha256:3736a8ff12cce9727ee750e85cd3871f924474d6dce799ae69ded9b48da68796&#34;, received []</system-out>
      <system-err></system-err>
    </testcase>
  </testsuite>
</testsuites>
`;
