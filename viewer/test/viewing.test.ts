import { describe, expect, test, vi } from 'vitest';
import type { Actions } from '../src/tools/actions';
import { wheelSteps } from '../src/tools/gestures';
import { meaning } from '../src/tools/hotkeys';
import { presetOf, presetsOf } from '../src/tools/presets';
import { outward, prefetch } from '../src/viewport/prefetch';
import { INITIAL_VIEW, panned, readableWindow, windowed, zoomedAbout } from '../src/viewport/view';
import { keyTarget } from '../src/worklist/StudyTable';

describe('the images brought next', () => {
  test('go outward, the next before the previous', () => {
    expect([...outward(2, 6, 10)]).toEqual([3, 1, 4, 0, 5]);
  });

  test('stay within reach', () => {
    expect([...outward(5, 100, 2)]).toEqual([6, 4, 7, 3]);
    expect([...outward(0, 1, 10)]).toEqual([]);
  });

  test('come so many at a time, and a failure holds none of the others up', async () => {
    let [running, most] = [0, 0];
    const loaded: number[] = [];
    await new Promise<void>((done) => {
      prefetch(outward(0, 8, 10), 3, async (index) => {
        most = Math.max(most, ++running);
        await Promise.resolve();
        running -= 1;
        if (loaded.push(index) === 7) done();
        if (index === 2) throw new Error('no such frame');
      });
    });
    expect(most).toBe(3);
    expect(loaded.sort()).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  test('stop when another image is wanted', async () => {
    const load = vi.fn(() => Promise.resolve());
    prefetch(outward(0, 100, 100), 2, load).stop();
    await Promise.resolve();
    await Promise.resolve();
    expect(load).toHaveBeenCalledTimes(2);
  });
});

describe('the view', () => {
  test('keeps the point under the pointer in place when it zooms', () => {
    const before = panned(INITIAL_VIEW, 30, -10);
    const after = zoomedAbout(before, 2, 100, 50);
    const at = (view: typeof before, x: number) => (x - view.panX) / view.zoom;
    expect(at(after, 100)).toBeCloseTo(at(before, 100));
    expect(after.zoom).toBe(2);
  });

  test('has bounds', () => {
    expect(zoomedAbout(INITIAL_VIEW, 1e9).zoom).toBe(40);
    expect(zoomedAbout(INITIAL_VIEW, 0).zoom).toBe(0.1);
  });

  test('widens the window by a drag to the right and never closes it', () => {
    expect(windowed({ center: 40, width: 400 }, 10, 5)).toEqual({ center: 45, width: 410 });
    expect(windowed({ center: 40, width: 400 }, -9999, 0).width).toBe(1);
  });

  test('writes wide windows in whole numbers and narrow ones with decimals', () => {
    expect(readableWindow({ center: -600.4, width: 1500 })).toEqual({ center: '-600', width: '1500' });
    expect(readableWindow({ center: 2.5, width: 5 })).toEqual({ center: '2.50', width: '5.00' });
  });
});

describe('the wheel', () => {
  test('goes one image a notch, however long the notch', () => {
    expect(wheelSteps(120, 0).steps).toBe(1);
    expect(wheelSteps(-960, 0).steps).toBe(-1);
  });

  test('adds up the small steps of a trackpad', () => {
    const first = wheelSteps(20, 0);
    expect(first.steps).toBe(0);
    expect(wheelSteps(20, first.left)).toEqual({ steps: 1, left: 10 });
  });
});

describe('a key', () => {
  const actions = { step: vi.fn(), preset: vi.fn(), invert: vi.fn() } as unknown as Actions;
  const hotkeys = { actions, imageCount: () => 7, presets: () => presetsOf('CT'), series: vi.fn(), help: vi.fn() };

  test('goes through the images', () => {
    meaning('ArrowDown', hotkeys)?.();
    expect(actions.step).toHaveBeenLastCalledWith(1);
    meaning('End', hotkeys)?.();
    expect(actions.step).toHaveBeenLastCalledWith(7);
  });

  test('sets a window of CT', () => {
    meaning('2', hotkeys)?.();
    expect(actions.preset).toHaveBeenLastCalledWith(expect.objectContaining({ name: 'preset.lung' }));
    expect(meaning('2', { ...hotkeys, presets: () => presetsOf('MR') })).toBeUndefined();
  });

  test('means the same in upper case', () => {
    meaning('I', hotkeys)?.();
    expect(actions.invert).toHaveBeenCalled();
  });

  test('goes through the rows of the list and stops at its ends', () => {
    expect(keyTarget('ArrowDown', 0, 3)).toBe(1);
    expect(keyTarget('ArrowDown', 2, 3)).toBe(2);
    expect(keyTarget('Home', 2, 3)).toBe(0);
    expect(keyTarget('x', 0, 3)).toBeUndefined();
  });
});

test('a preset is known by its window', () => {
  expect(presetOf(presetsOf('CT'), { center: -600, width: 1500 })?.name).toBe('preset.lung');
  expect(presetOf(presetsOf('CT'), { center: -600, width: 1501 })).toBeUndefined();
});
