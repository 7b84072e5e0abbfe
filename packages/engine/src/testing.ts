export { describeEngineConformance } from "./conformance.ts";
