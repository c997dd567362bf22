/** An image that would be drawn wrong, and is told about instead. */
export class Unsupported extends Error {}
