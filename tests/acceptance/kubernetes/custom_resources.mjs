// Validates the custom resources among those on standard input (JSON, a list) against the schemas of their own projects:
// KEDA's and the Prometheus Operator's, as the npm packages @kubernetes-models/* hold them. Exit code 1 where one is not valid.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const MODELS = {
  ScaledObject: "keda/_schemas/ComGithubKedacoreKedaV2ApisKedaV1alpha1ScaledObject.js",
  TriggerAuthentication: "keda/_schemas/ComGithubKedacoreKedaV2ApisKedaV1alpha1TriggerAuthentication.js",
  PodMonitor: "prometheus-operator/_schemas/ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1PodMonitor.js",
};

const check = async (resource) => {
  const { validate } = await import(pathToFileURL(join(process.argv[2], "@kubernetes-models", MODELS[resource.kind])).href);
  return validate(resource) ? [] : validate.errors;
};

const custom = JSON.parse(readFileSync(0, "utf8")).filter((resource) => resource.kind in MODELS);
if (custom.length === 0) throw new Error("no custom resource to check");
let wrong = 0;
for (const resource of custom) {
  const errors = await check(resource);
  console.log(`${errors.length ? "WRONG" : "valid"}  ${resource.kind} ${resource.metadata.name}`);
  for (const { instancePath, keyword, params } of errors) console.log(`       ${instancePath} ${keyword} ${JSON.stringify(params)}`);
  wrong += errors.length;
  // The check must be able to fail.
  if ((await check({ ...resource, spec: { ...resource.spec, triggers: 1, secretTargetRef: 1, podMetricsEndpoints: 1 } })).length === 0)
    throw new Error(`nonsense passes as a ${resource.kind}`);
}
process.exit(wrong ? 1 : 0);
