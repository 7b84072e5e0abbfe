import { expect, it } from "vitest";
import { deepestNesting, findJsonFlaws } from "./json-flaws.ts";

const found = (text: string): string[] =>
  findJsonFlaws(text).map(({ path, offset, problem }) => `${offset} ${path}: ${problem}`);

it("finds nothing in sound JSON, whatever its strings look like", () => {
  for (const text of [
    "3",
    '"a"',
    "[]",
    '{"a":{"a":[{"a":1},{"a":2}]},"b":"a"}',
    '{"a":"\\"a\\":{[,]}","b":"\\\\","c":"\\\\\\""}',
    '{"a":"\\ud83d\\udc1d \u{1f41d}","A":1}',
    '[["a","a"],{"x":["a","a"]}]',
  ])
    expect(found(text), text).toEqual([]);
});

it("finds a key that stands twice, with its path and position, however it is written", () => {
  expect(found('{"a":1,"b":{"c":[0,{"d":1,"d":2}]}}')).toEqual([
    "26 b.c.1.d: stands twice in one object",
  ]);
  expect(found('{"a":1,"\\u0061":2}')).toEqual(["7 a: stands twice in one object"]);
  expect(found('{"a":1,"a":2,"a":3}')).toHaveLength(2);
});

it("finds the key __proto__ and half of a surrogate pair in keys and values", () => {
  expect(found('[{"__proto__":{}}]')).toEqual([
    "2 0.__proto__: is a key that objects of JavaScript cannot hold",
  ]);
  expect(found('{"a":"x\\ud83dx","\\udc1d":1}').map((flaw) => flaw.replace(/ .*:/, ":"))).toEqual([
    "5: holds half of a surrogate pair",
    "16: holds half of a surrogate pair",
  ]);
});

it("stops at nesting without end", () => {
  const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
  expect(found(nested(deepestNesting))).toEqual([]);
  expect(found(nested(deepestNesting + 1))).toEqual([
    `${deepestNesting} 0.0.0: is nested more than 100 deep`,
  ]);
  expect(found(nested(1_000_000))).toHaveLength(1);
});
