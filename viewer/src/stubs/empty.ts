/** Stands in for Node modules that the codecs name and never use in a browser. */
export default {};
