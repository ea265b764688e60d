/* What this program is: version.c is written by CMake at every build (version.cmake). */
#ifndef REGARD_BASE_VERSION_H
#define REGARD_BASE_VERSION_H

/* "0.1.0 (commit 0123456789ab)"; "-dirty" behind the commit when files were changed, "unknown"
 * outside a git checkout. */
extern const char version_text[];

/* Room for a library's name and version, as --version prints them. */
enum { LIBRARY_VERSION_TEXT = 256 };

#endif
