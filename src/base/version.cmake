# Writes version.c with the commit that is built; run at every build, touches it only on change.
#   cmake -DSOURCE=DIR -DVERSION=X.Y.Z -DOUT=FILE -P version.cmake
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT [[
#include "src/base/version.h"

const char version_text[] = "@VERSION@ (commit @commit@)";
]] @ONLY)
