export { describeEngineConformance, type ConformanceSubject } from "./conformance.ts";
