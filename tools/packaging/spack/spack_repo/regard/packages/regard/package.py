# Spack's recipe of regard (Spack 1.0 or later), in a repository of its own; tools/packaging/README.md
# says how it is used, and what it was tried with.
import pathlib

from spack_repo.builtin.build_systems.cmake import CMakePackage, generator
from spack_repo.builtin.build_systems.cuda import CudaPackage

from spack.package import *


class Regard(CMakePackage, CudaPackage):
    """Reinforcement fine-tuning of language models with a reward read off the
    model's own attention, for clusters with MPI."""

    # There is no release to download yet: the source is the clone that this recipe stands in.
    git = pathlib.Path(__file__).resolve().parents[7].as_uri()

    version("main", branch="main")

    variant("nccl", default=True, when="+cuda", description="exchange between GPUs by NCCL")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("git", type="build")

    depends_on("mpi")
    depends_on("hdf5~mpi")
    depends_on("openssl")
    depends_on("jansson")
    depends_on("libyaml")
    depends_on("sentencepiece")
    depends_on("utf8proc")
    depends_on("pcre2")
    depends_on("protobuf-c")
    depends_on("cuda@12:", when="+cuda")
    depends_on("nccl", when="+nccl")

    generator("ninja")

    # The same bits everywhere: nothing here may be compiled with -ffast-math.
    requires("%gcc", msg="the kernels are written for GCC's vector extensions")

    def cmake_args(self):
        args = [
            self.define("REGARD_TESTS", False),
            self.define("REGARD_CUDA", "ON" if self.spec.satisfies("+cuda") else "OFF"),
        ]
        if self.spec.satisfies("+cuda") and not self.spec.satisfies("cuda_arch=none"):
            architectures = ";".join(self.spec.variants["cuda_arch"].value)
            args.append(self.define("REGARD_CUDA_ARCHITECTURES", architectures))
        return args

    def setup_build_environment(self, env):
        if self.spec.satisfies("+nccl"):
            env.set("NCCL_HOME", self.spec["nccl"].prefix)

    def test_tiny_run(self):
        """a run of two updates from random weights, and its checkpoint"""
        regard = which(self.prefix.bin.regard)
        config = self.prefix.share.regard.configs.join("tiny.yaml")
        regard("train", "--config", config, "--set", "train.updates=2", "--run", "run")
        regard("inspect", "run/checkpoints/newest")
