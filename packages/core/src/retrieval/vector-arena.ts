import TinyQueue from "tinyqueue";
import { blockSize, createQuantisedScan, type QuantisedScan } from "./quantised-scan.ts";
import type { Match } from "./retriever.ts";
import { createTopList } from "./top-list.ts";

/** Below this many items all are computed exactly: a first pass would cost more than it saves. */
const smallestScan = 512;
const rowsPerChunk = 1024;
/** Numbers kept about each row: its scale, the length of what rounding to integers lost, and its own length. */
const factsPerRow = 3;

/** Vectors of one dimension by number, searched exactly. */
export interface VectorArena {
  /**
   * @throws RangeError for another dimension than the first vector's, or for a value that is not finite; the arena is
   * then unchanged.
   */
  set(number: number, vector: Float32Array): void;
  /**
   * The `count` largest dot products of the query's row with the rows named, summed in float64 from the first dimension
   * to the last; equal ones by position. Every row must have been set.
   */
  search(queryNumber: number, numbers: Int32Array, count: number): readonly Match[];
}

/**
 * A search is exact by construction, and reads a quarter of the bytes. The first pass takes rows rounded to 8-bit and
 * the query to 16-bit integers. By Cauchy and Schwarz its dot products are wrong by no more than
 * |lost of row| |query| + |rounded row| |lost of query|, and both losses are known. Items that cannot reach the
 * count-th best lower bound are out; the others are computed in float64.
 * @param createScan gives the first pass; where it gives none, every item is computed in float64.
 */
export function createVectorArena(
  createScan: (dimensions: number) => QuantisedScan | undefined = createQuantisedScan,
): VectorArena {
  let dimensions: number | undefined;
  const chunks: Float32Array[] = [];
  let facts: Float64Array = new Float64Array(rowsPerChunk * factsPerRow);
  /** Made at the first search that is large enough. */
  let scan: QuantisedScan | undefined;
  let scanWasTried = false;
  const unscanned = new Set<number>();

  const rowOf = (number: number): Float32Array => {
    const width = dimensions ?? 0;
    const start = (number % rowsPerChunk) * width;
    const chunk = chunks[Math.floor(number / rowsPerChunk)];
    if (chunk === undefined) throw new RangeError(`vector ${number} was never set`);
    return chunk.subarray(start, start + width);
  };

  const prepareScan = (): QuantisedScan | undefined => {
    if (!scanWasTried && dimensions !== undefined) {
      scanWasTried = true;
      scan = createScan(dimensions);
    }
    if (scan === undefined) return undefined;
    try {
      for (const number of unscanned) {
        const { values, scale, lost, length } = quantise(rowOf(number), 127);
        scan.setRow(number, new Int8Array(values));
        facts = withRoom(facts, (number + 1) * factsPerRow);
        facts.set([scale, lost, length], number * factsPerRow);
      }
    } catch (cause) {
      // No more memory to grow into: from here on everything is computed in float64.
      if (!(cause instanceof RangeError)) throw cause;
      scan = undefined;
    }
    unscanned.clear();
    return scan;
  };

  return {
    set: (number, vector) => {
      if (vector.length === 0 || vector.length !== (dimensions ?? vector.length)) {
        throw new RangeError(
          `a vector of ${vector.length} dimensions, where there should be ${dimensions ?? "some"}`,
        );
      }
      if (!isFiniteVector(vector)) {
        throw new RangeError("a vector with a value that is not a finite number");
      }
      dimensions = vector.length;
      const chunk = Math.floor(number / rowsPerChunk);
      while (chunks.length <= chunk) chunks.push(new Float32Array(rowsPerChunk * dimensions));
      rowOf(number).set(vector);
      if (!scanWasTried || scan !== undefined) unscanned.add(number);
    },
    search: (queryNumber, numbers, count) => {
      const query = rowOf(queryNumber);
      const best = createTopList(count);
      const offer = (position: number): void => {
        best.offer(position, dotProduct(chunks, numbers[position] ?? 0, query));
      };
      const first =
        numbers.length >= smallestScan && count < numbers.length ? prepareScan() : undefined;
      if (first === undefined) {
        for (let position = 0; position < numbers.length; position++) offer(position);
      } else {
        for (const position of findCandidates(first, facts, query, numbers, count)) offer(position);
      }
      return best.matches();
    },
  };
}

/** Positions that may be among the best `count`, in order: all that are, and few others. */
function findCandidates(
  scan: QuantisedScan,
  facts: Float64Array,
  query: Float32Array,
  numbers: Int32Array,
  count: number,
): readonly number[] {
  const { values, scale, lost, length } = quantise(query, scan.queryLimit);
  scan.setQuery(new Int16Array(values));
  // What float64 loses in either sum, with room to spare: 2^-53 for each of at most this many roundings, and as much again.
  const roundings = (query.length + 16) * 2 ** -51;
  const queryReach = length + lost;
  const uppers = new Float64Array(numbers.length);
  const lowers = new TinyQueue<number>();
  let worst = Number.NEGATIVE_INFINITY;
  for (let start = 0; start < numbers.length; start += blockSize) {
    const block = numbers.subarray(start, start + blockSize);
    const sums = scan.sums(block);
    for (let index = 0; index < block.length; index++) {
      const fact = (block[index] ?? 0) * factsPerRow;
      const rowLost = facts[fact + 1] ?? 0;
      const rowReach = (facts[fact + 2] ?? 0) + rowLost;
      const score = (sums[index] ?? 0) * (facts[fact] ?? 0) * scale;
      const error = rowLost * length + rowReach * lost + rowReach * queryReach * roundings;
      uppers[start + index] = score + error;
      const lower = score - error;
      if (lowers.length < count) {
        lowers.push(lower);
        if (lowers.length === count) worst = lowers.peek() ?? worst;
      } else if (lower > worst) {
        lowers.pop();
        lowers.push(lower);
        worst = lowers.peek() ?? worst;
      }
    }
  }
  const candidates: number[] = [];
  for (let position = 0; position < uppers.length; position++) {
    // Not "above": an item that ties with the last place may have it by its position.
    if ((uppers[position] ?? 0) >= worst) candidates.push(position);
  }
  return candidates;
}

/**
 * vector = scale × values + what was lost, with |values| up to `limit`. `lost` and `length` are Euclidean lengths, never
 * too small. The scale has 24 bits, so that its products with the integers are exact in float64.
 */
function quantise(
  vector: Float32Array,
  limit: number,
): {
  readonly values: Float64Array;
  readonly scale: number;
  readonly lost: number;
  readonly length: number;
} {
  let largest = 0;
  for (const value of vector) largest = Math.max(largest, Math.abs(value));
  const scale = Math.fround(largest / limit);
  const values = new Float64Array(vector.length);
  let lostSquares = 0;
  let squares = 0;
  for (let index = 0; index < vector.length; index++) {
    const value = vector[index] ?? 0;
    // A scale of 0: nothing, or values so small that they are all lost.
    const integer = scale === 0 ? 0 : Math.max(-limit, Math.min(limit, Math.round(value / scale)));
    values[index] = integer;
    lostSquares += (value - scale * integer) ** 2;
    squares += value ** 2;
  }
  const roundedUp = 1 + (vector.length + 16) * 2 ** -51;
  return {
    values,
    scale,
    lost: Math.sqrt(lostSquares) * roundedUp,
    length: Math.sqrt(squares) * roundedUp,
  };
}

/** Float64 products and sums in the order of the dimensions: the definition that recall is measured against. */
function dotProduct(chunks: readonly Float32Array[], number: number, query: Float32Array): number {
  const chunk = chunks[Math.floor(number / rowsPerChunk)];
  if (chunk === undefined) throw new RangeError(`vector ${number} was never set`);
  const start = (number % rowsPerChunk) * query.length;
  let sum = 0;
  for (let index = 0; index < query.length; index++) {
    sum += (chunk[start + index] ?? 0) * (query[index] ?? 0);
  }
  return sum;
}

function withRoom(values: Float64Array, length: number): Float64Array {
  if (length <= values.length) return values;
  const larger = new Float64Array(Math.max(length, values.length * 2));
  larger.set(values);
  return larger;
}

function isFiniteVector(vector: Float32Array): boolean {
  for (const value of vector) if (!Number.isFinite(value)) return false;
  return true;
}
