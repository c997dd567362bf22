/** Which images to bring next, and how many at a time. */

/** Indices of a stack from `centre` outward, the next before the previous; `centre` itself is not among them. */
export function* outward(centre: number, count: number, radius: number): Generator<number> {
  for (let distance = 1; distance <= Math.min(radius, count); distance += 1) {
    if (centre + distance < count) yield centre + distance;
    if (centre - distance >= 0) yield centre - distance;
  }
}

export interface Prefetch {
  stop: () => void;
}

/**
 * Loads what `indices` gives, `parallel` at a time, in order. A load that fails is left to be told when the image
 * is looked at; `stop` lets those under way end and starts no more.
 */
export function prefetch(indices: Iterator<number>, parallel: number, load: (index: number) => Promise<unknown>): Prefetch {
  let isStopped = false;
  const lane = async () => {
    for (let next = indices.next(); !isStopped && !next.done; next = indices.next()) {
      await load(next.value).catch(() => undefined);
    }
  };
  for (let started = 0; started < parallel; started += 1) void lane();
  return {
    stop: () => {
      isStopped = true;
    },
  };
}
