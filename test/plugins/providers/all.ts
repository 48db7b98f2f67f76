/** All providers, in the order of the document. */
import { auth0 } from './auth0.ts';
import { cognito } from './cognito.ts';
import { entraOne, entraPeople, entraServices, entraTenants } from './entra.ts';
import { github } from './github.ts';
import { gitlab } from './gitlab.ts';
import { googlePeople, googleServices } from './google.ts';
import { keycloak } from './keycloak.ts';
import { eks, kubernetes } from './kubernetes.ts';
import { okta } from './okta.ts';
import type { Provider } from './provider.ts';
import { spiffe } from './spiffe.ts';
import { zitadel } from './zitadel.ts';

/** People first, then workloads. */
export const PROVIDERS: readonly Provider[] = [
  keycloak,
  entraServices,
  entraPeople,
  entraOne,
  entraTenants,
  auth0,
  cognito,
  okta,
  zitadel,
  googlePeople,
  googleServices,
  github,
  gitlab,
  kubernetes,
  eks,
  spiffe,
];
