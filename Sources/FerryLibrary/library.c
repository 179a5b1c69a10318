/* libferry.so is FerryEmbed with the linker's part beside it, which tests and other programs that link FerryEmbed do without: what it shows
 * (exports.map), what it is called, and that it is never unloaded, which Swift's runtime does not survive. A target needs a source. */
typedef int ferry_library_has_no_code_of_its_own;
