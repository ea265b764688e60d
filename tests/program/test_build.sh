# The program's own build: without tests, without cmocka, without nvcc; and a wish for CUDA that cannot be
# met is an error.
set -euo pipefail
source tests/program/common.sh

cat >"$work/pkg-config" <<'END'
#!/bin/sh
case "$*" in *cmocka*) exit 1 ;; esac
exec pkg-config "$@"
END
chmod +x "$work/pkg-config"
configure() { # SETTINGS...: as run/build --program does where no driver is
    PKG_CONFIG="$work/pkg-config" expect_status "$1" cmake -S . -B "$work/build" -G Ninja \
        -DCMAKE_BUILD_TYPE=Release -DNVCC=OFF "${@:2}"
}
configure 0 -DREGARD_TESTS=OFF -DREGARD_CUDA=OFF
ninja -C "$work/build" -t targets all >"$work/targets"
grep -q '^regard: ' "$work/targets" || fail "no target regard"
! grep -E '(^|/)(test_[a-z_]*|regard_cuda[a-z_]*\.so): ' "$work/targets" || fail "more than the program"
configure 1 -DREGARD_TESTS=ON
grep -q cmocka "$work/out" || fail "the tests are configured without cmocka"
configure 1 -DREGARD_TESTS=OFF -DREGARD_CUDA=ON
expect_said "REGARD_CUDA is ON but there is no nvcc"
