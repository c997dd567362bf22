/** Line drawings of 24 by 24, one a tool. */

const PATHS = {
  window: 'M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18',
  zoom: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5 21 21M10.5 7.8v5.4M7.8 10.5h5.4',
  pan: 'M12 3v18M3 12h18M9.5 5.5 12 3l2.5 2.5M9.5 18.5 12 21l2.5-2.5M5.5 9.5 3 12l2.5 2.5M18.5 9.5 21 12l-2.5 2.5',
  scroll: 'M4 8l8-4 8 4-8 4zM4 12l8 4 8-4M4 16l8 4 8-4',
  length: 'M4 16 16 4l4 4L8 20zM8 12l2 2M11 9l2 2M14 6l2 2',
  clear: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
  invert: 'M4 4h16v16H4zM4 20 20 4',
  reset: 'M5 12a7 7 0 1 0 2.2-5.1M5 4v4h4',
  play: 'M7 4l13 8-13 8z',
  stop: 'M6 6h12v12H6z',
  help: 'M9 9a3 3 0 1 1 4.2 2.7c-.8.4-1.2 1-1.2 1.8v.5M12 17.5v.5M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linejoin="round" stroke-linecap="round">
      <path d={PATHS[name]} />
      {name === 'window' && <path d="M12 3a9 9 0 0 1 0 18z" fill="currentColor" />}
      {name === 'invert' && <path d="M20 4v16H4z" fill="currentColor" />}
    </svg>
  );
}
