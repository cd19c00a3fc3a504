// A real OpenID provider for tests: signs access tokens (RFC 9068) for the platform, and lets anybody in by a name.
// Settings come from the environment: PORT, GROUPS (of everybody). It writes one line when it listens.
import { Provider } from 'oidc-provider';

const port = Number(process.env.PORT);
const issuer = `http://127.0.0.1:${port}`;
const audience = 'maasloop';

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'maasloop-cli',
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    redirect_uris: ['http://127.0.0.1/callback'],
  }],
  pkce: { required: () => true },
  scopes: ['openid', 'offline_access'],
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  extraTokenClaims: ({ oidc: { entities } }, token) => ({
    groups: process.env.GROUPS.split(','),
    data_subject: `key-of-${token.accountId}`,
    // RFC 9068 2.2.1: when the person proved who they are, however often the token was refreshed since.
    auth_time: (entities.AuthorizationCode ?? entities.RefreshToken).authTime,
  }),
  features: {
    resourceIndicators: {
      enabled: true,
      defaultResource: () => `urn:${audience}`,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'openid',
        audience,
        accessTokenTTL: 600,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});
provider.listen(port, '127.0.0.1', () => process.stdout.write(`${issuer}\n`));
