import { caseStudies } from "./case-studies.ts";
import { chat } from "./chat.ts";
import { customerService } from "./customer-service.ts";
import type { Example } from "./example.ts";

/** Every example by name. To add one: a file beside this one, a line here, a test, and a row in README.md. */
export const examples: Readonly<Record<string, Example>> = {
  chat,
  "customer-service": customerService,
  "case-studies": caseStudies,
};
