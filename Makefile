# ohemtrain - one Makefile, no recursion into folders, nothing written outside build/ and runs/.
#
#   make              build the programs into build/release/
#   make demo         all the set-up, then ohemtrain configs/frcnn.conf (6 minutes)
#   make check        all the set-up, then every test
#   make asan tsan    the tests under ASan+UBSan; the threaded modules under TSan
#   make nets         every net and solver of a folder, NETS=DIR, parsed, planned, run for a step
#   make fuzz         libFuzzer on the readers of files, FUZZ_SECONDS=20 each
#   make golden       every case of GOLDEN=DIR (default ../shared/golden) against what Caffe computed
#   make lint         include graph, formatting, clang-tidy, cppcheck, headers
#   make bench        speed and memory beside PyTorch, as JSON
#   make bench-mining what mining costs, also with its file in trouble, MINING_ARGS=--help
#   make bench-noise  mining against plain training under label noise, NOISE_ARGS=--help
#   make gpu-check    on a machine with a GPU: parity, nets, compute-sanitizer, as JSON
#   make gpu-bench    on one: speed and memory beside PyTorch on the same GPU, as JSON
#   make bundle       build/bundle.tar.gz, from which both run where our libraries and make are missing
#   make install      into $(DESTDIR)$(PREFIX); make uninstall takes it away
#   make deps         install the Debian packages that are missing
#   make clean        remove build/
#
#   MODE=release|debug|asan|tsan   V=1 shows commands   WERROR=1   ARCH=native|x86-64-v3|...
#   BUNDLE=1 links statically what can be, for `make bundle`
#   CUDA=0 builds without cuda/ where nvcc and cuDNN are present; HDF5=0 without libhdf5

SHELL  := /bin/bash
MODE   ?= release
BUILD  ?= build
ARCH   ?= $(if $(BUNDLE),x86-64-v3,native)
PREFIX ?= /usr/local
CC     := $(if $(filter default,$(origin CC)),gcc,$(CC))
NVCC   ?= $(firstword $(wildcard /usr/local/cuda/bin/nvcc) $(shell command -v nvcc 2>/dev/null))
CUDA_HOME := $(patsubst %/bin/nvcc,%,$(NVCC))
CUDNN  := $(firstword $(wildcard $(if $(NVCC),$(addsuffix /cudnn.h,$(CUDA_HOME)/include \
            /usr/local/include /usr/include /usr/include/x86_64-linux-gnu))))
CUDA   ?= $(if $(CUDNN),1,0)
# The sanitizers do not get along with the driver's memory.
USE_CUDA := $(if $(filter asan tsan fuzz,$(MODE)),0,$(CUDA))
HDF5   ?= $(if $(BUNDLE),0,$(shell pkg-config --exists hdf5 2>/dev/null && echo 1 || echo 0))
PYTHON ?= python3
Q      := $(if $(V),,@)
B      := $(BUILD)/$(MODE)$(if $(BUNDLE),-bundle)
GEN    := $(BUILD)/gen

STD  := -std=c11 -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
        -Wvla -Wundef -Wcast-qual -Wpointer-arith -Wwrite-strings -Wdouble-promotion -Wformat=2 \
        -fno-common $(if $(WERROR),-Werror)
MODE_release := -O3 -g -march=$(ARCH) -fopenmp -D_FORTIFY_SOURCE=2 -fstack-protector-strong
MODE_debug   := -O0 -g3 -fopenmp
MODE_asan    := -O1 -g -fopenmp -fsanitize=address,undefined -fno-sanitize-recover=all \
                -fno-omit-frame-pointer
MODE_tsan    := -O1 -g -fsanitize=thread -Wno-unknown-pragmas
# clang; without OpenMP, whose runtime would be one more package
MODE_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined,float-cast-overflow \
                -fno-sanitize-recover=all \
                -fno-omit-frame-pointer -Wno-unknown-pragmas -Wno-format-nonliteral \
                -Wno-psabi -Wno-double-promotion
ifeq ($(MODE_$(MODE)),)
$(error MODE=$(MODE) is not one of: $(patsubst MODE_%,%,$(filter MODE_%,$(.VARIABLES))))
endif

# as system headers: they are not written for our warnings
H5_FLAGS := $(if $(filter 1,$(HDF5)),$(patsubst -I%,-isystem %,$(shell pkg-config --cflags hdf5)))
H5_LIBS  := $(if $(filter 1,$(HDF5)),$(shell pkg-config --libs hdf5))

, := ,
CPPFLAGS += -I. -I$(GEN)
# No contraction of a*b+c: overlaps and losses are compared, and ties must tie on every machine.
CFLAGS   += $(STD) $(WARN) $(MODE_$(MODE)) -ffp-contract=off \
            $(if $(BUNDLE),-ffunction-sections -fdata-sections -Wno-psabi)
LDFLAGS  += $(filter -fsanitize=% -fopenmp,$(MODE_$(MODE)))
LDLIBS   += -ldnnl $(if $(BUNDLE),$(STATIC),$(SHARED)) -ldl -lm -pthread $(H5_LIBS)
SHARED   := -lprotobuf-c -llmdb -lsqlite3 -lturbojpeg -lpng -lexpat -lz
# A bundle needs glibc alone of the machine it runs on: what Debian has no archive of lies in its lib/.
STATIC   := -l:libprotobuf-c.a -l:liblmdb.a -l:libsqlite3.a -l:libturbojpeg.a -l:libpng16.a \
            -l:libexpat.a -l:libz.a
LDFLAGS  += $(if $(BUNDLE),-s -Wl$(,)--gc-sections$(,)--disable-new-dtags \
              '-Wl$(,)-rpath$(,)$$ORIGIN/../lib:$$ORIGIN/../../lib')

# Architecture is folders, lowest first; tools/lint/layers.sh checks who includes whom.
LIB_DIRS := base proto layers data mining trainer
NOT_SRC := data/hdf5$(if $(filter 1,$(HDF5)),_none).c
SRC   := $(filter-out $(NOT_SRC),$(sort $(wildcard $(addsuffix /*.c,$(LIB_DIRS))))) \
         $(if $(filter 1,$(USE_CUDA)),cuda/load.c,cuda/none.c)
PROTO := caffe layer_params
OBJ   := $(SRC:%.c=$(B)/%.o) $(PROTO:%=$(B)/%.pb-c.o)
LIB   := $(B)/libohemtrain.a
PROGS := $(patsubst tools/%.c,$(B)/%,$(wildcard tools/ohem*.c))
TOOL_OBJ := $(patsubst %.c,$(B)/%.o,$(filter-out $(wildcard tools/ohem*.c),$(wildcard tools/*.c)))
TESTS := $(patsubst tests/%.c,$(B)/tests/%,$(sort $(wildcard tests/test_*.c)))
NETS_SRC := tests/run_nets.c $(wildcard tests/nets_*.c)
TEST_OBJ := $(patsubst %.c,$(B)/%.o,$(filter-out $(wildcard tests/test_*.c) $(NETS_SRC),$(wildcard tests/*.c \
              tests/fuzz/fuzz_*.c)))
BENCHES := $(patsubst bench/%.c,$(B)/bench/%,$(filter-out %/bench_gpu.c,$(wildcard bench/bench_*.c)))
HOST_TESTS  := $(filter $(B)/tests/test_cuda%,$(TESTS))
GPU_TESTS   := $(HOST_TESTS) $(B)/tests/test_cudnn
GPU_BENCHES := $(B)/bench/bench_gpu
HDR   := $(sort $(wildcard $(addsuffix /*.h,$(LIB_DIRS))))

# The CUDA device is a plugin beside the programs: they start where CUDA's libraries are missing.
# Its kernels are the same in a bundle, and nvcc is slow.
CU         := $(BUILD)/$(MODE)/plugin
PLUGIN     := $(if $(filter 1,$(USE_CUDA)),$(B)/ohemtrain-cuda.so)
PLUGIN_OBJ := $(patsubst %.c,$(B)/plugin/%.o,base/err.c base/hash.c $(filter-out cuda/none.c cuda/load.c,\
                $(sort $(wildcard cuda/*.c)))) \
              $(patsubst %.cu,$(CU)/%.o,$(sort $(wildcard cuda/*.cu)))
# One architecture compiled, and PTX of the oldest for all others.
NVARCH ?= -gencode arch=compute_90,code=sm_90 -gencode arch=compute_75,code=compute_75
# -fmad=false: as -ffp-contract=off on the CPU.
# The device code in a quarter of the size, where nvcc can (12.8 and later).
NVSMALL := $(if $(NVCC),$(shell $(NVCC) --help | grep -q -e --compress-mode && echo --compress-mode=size))
NVFLAGS := -std=c++17 -O2 -lineinfo -fmad=false $(NVARCH) $(NVSMALL) -Xcompiler -fPIC,-Wall,-Wextra \
           $(if $(WERROR),-Werror all-warnings -Xptxas --warn-on-spills)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all programs tests
all: programs
programs: $(PROGS) $(PLUGIN)
tests: $(TESTS) $(PLUGIN)

# ---- generated ---------------------------------------------------------------------------------
$(foreach p,$(PROTO),$(GEN)/proto/$p.pb-c.c $(GEN)/proto/$p.pb-c.h) &: $(PROTO:%=proto/%.proto)
	@mkdir -p $(GEN)
	$(Q)protoc-c --c_out=$(GEN) $^

# mining/*.sql as C strings
SQL_H := $(patsubst %.sql,$(GEN)/%_sql.h,$(wildcard mining/*.sql))
$(SQL_H): $(GEN)/%_sql.h: %.sql
	@mkdir -p $(@D)
	$(Q)sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $< > $@

# ---- compile and link --------------------------------------------------------------------------
$(B)/%.o: %.c Makefile | $(GEN)/proto/caffe.pb-c.h $(SQL_H)
	@mkdir -p $(@D)
	$(if $(Q),@echo '  CC    $<')
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# A square root that sets errno is not made sixteen at a time.
$(B)/layers/lrn_cpu.o: CFLAGS += -fno-math-errno

$(B)/data/hdf5.o: CPPFLAGS += $(H5_FLAGS)

$(PROTO:%=$(B)/%.pb-c.o): $(B)/%.o: $(GEN)/proto/%.c Makefile
	@mkdir -p $(@D)
	$(if $(Q),@echo '  CC    $<')
	$(Q)$(CC) $(CPPFLAGS) -std=gnu11 $(MODE_$(MODE)) -MMD -MP -c -o $@ $<

# What is in the library depends on CUDA= and HDF5= too.
$(B)/library: always
	@mkdir -p $(@D)
	@echo '$(OBJ)' | cmp -s - $@ || echo '$(OBJ)' >$@
.PHONY: always

$(LIB): $(OBJ) $(B)/library
	$(Q)rm -f $@ && $(AR) rcs $@ $(OBJ)

$(PROGS): $(B)/%: $(B)/tools/%.o $(TOOL_OBJ) $(LIB)
	$(if $(Q),@echo '  LD    $@')
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(TESTS): $(B)/tests/%: $(B)/tests/%.o $(TEST_OBJ) $(LIB)
	$(if $(Q),@echo '  LD    $@')
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

# What a tool computes is tested where it is made; the library once more, for the tool's objects.
$(B)/tests/test_ohempool: $(TOOL_OBJ)
$(B)/tests/test_ohempool: LDLIBS := $(LIB) $(LDLIBS)

$(B)/tests/run_nets: $(NETS_SRC:%.c=$(B)/%.o) $(LIB)
	$(if $(Q),@echo '  LD    $@')
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BENCHES) $(GPU_BENCHES): $(B)/bench/%: $(B)/bench/%.o $(LIB)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# ---- cuda --------------------------------------------------------------------------------------
$(B)/plugin/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(if $(Q),@echo '  CC    $< (plugin)')
	$(Q)$(CC) $(CPPFLAGS) -isystem $(CUDA_HOME)/include $(CFLAGS) -fPIC -MMD -MP -c -o $@ $<

$(CU)/%.o: %.cu Makefile
	@mkdir -p $(@D)
	$(if $(Q),@echo '  NVCC  $<')
	$(Q)$(NVCC) $(NVFLAGS) -I. -MMD -MP -c -o $@ $<

$(B)/ohemtrain-cuda.so: $(PLUGIN_OBJ)
	$(if $(Q),@echo '  LD    $@')
	$(Q)$(CC) -shared -Wl,-z,defs,-Bsymbolic -o $@ $^ -L$(CUDA_HOME)/lib64 -Wl,-rpath,$(CUDA_HOME)/lib64 \
	    -lcudnn -lcublas -lcudart -lstdc++ -lm

# The same kernels as plain C++ on the host, for test_cuda*, where there is a C++ compiler.  Where CUDA's
# headers are, so is the rest of cuda/, on a fake of CUDA's libraries; else a small device of its own.
HOST_CU := $(if $(shell command -v $(firstword $(CXX)) 2>/dev/null),$(B)/tests/cuda_fibres.o \
             $(B)/tests/cuda_race.o $(B)/tests/tests/cuda_race_self.o \
             $(patsubst %.cu,$(B)/tests/%.o,$(sort $(wildcard cuda/*.cu))) \
             $(if $(CUDNN),$(patsubst %.cc,$(B)/%.o,$(sort $(wildcard tests/cuda_fake*.cc))) \
               $(patsubst %.c,$(B)/fake/%.o,$(filter-out cuda/none.c cuda/load.c cuda/table.c,\
                 $(sort $(wildcard cuda/*.c)))),\
               $(B)/tests/cuda_host.o $(B)/tests/cuda_linear.o $(B)/cuda/faults.o $(B)/cuda/format.o))
HOST_CXXFLAGS := -std=c++17 -Wall -Wextra -I. $(MODE_$(MODE)) -ffp-contract=off \
                 $(if $(WERROR),-Werror) -MMD -MP
CUDA_HEADERS := $(if $(CUDNN),-isystem $(CUDA_HOME)/include)
# Every access of a kernel calls tests/cuda_race.cc, where the compiler can (g++ 11 and later) and no
# sanitizer looks at it itself.
RACE_FLAGS := -DOT_RACES -fsanitize=thread --param=tsan-distinguish-volatile=1 --param=tsan-instrument-func-entry-exit=0
HOST_RACES := $(if $(findstring -fsanitize,$(MODE_$(MODE))),,$(shell echo | $(CXX) $(RACE_FLAGS) -x c++ -c -o \
                /dev/null - 2>/dev/null && echo $(RACE_FLAGS) -Wno-maybe-uninitialized))
$(B)/tests/%.o: %.cu Makefile
	@mkdir -p $(@D)
	$(if $(Q),@echo '  CXX   $<')
	$(Q)$(CXX) $(HOST_CXXFLAGS) $(HOST_RACES) -include tests/cuda_host.hh -x c++ -c -o $@ $<

$(B)/tests/%.o: tests/%.cc Makefile
	@mkdir -p $(@D)
	$(if $(Q),@echo '  CXX   $<')
	$(Q)$(CXX) $(HOST_CXXFLAGS) $(CUDA_HEADERS) -c -o $@ $<

$(B)/fake/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(if $(Q),@echo '  CC    $< (fake)')
	$(Q)$(CC) $(CPPFLAGS) -Dot_cuda_open=ot_fake_cuda_open $(CUDA_HEADERS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(HOST_TESTS): $(HOST_CU)
$(HOST_TESTS): LDLIBS += $(if $(HOST_CU),-lstdc++)

# What cuDNN itself says of what it is told; it is loaded when the test runs, in a bundle that of the
# machine.
$(B)/tests/test_cudnn.o: CPPFLAGS += $(CUDA_HEADERS)
$(B)/tests/test_cudnn: $(if $(CUDNN),$(B)/fake/cuda/conv_graph.o)
$(B)/tests/test_cudnn: LDLIBS += $(if $(CUDNN),$(if $(BUNDLE),,-Wl$(,)-rpath$(,)$(CUDA_HOME)/lib64)) -ldl

# A device that is late on purpose, in place of cuda/.
, := ,
HAVE_CXX := $(shell command -v $(firstword $(CXX)) 2>/dev/null)
$(B)/tests/test_async: $(if $(HAVE_CXX),$(B)/tests/queue_dev.o)
$(B)/tests/test_async: LDLIBS += $(if $(HAVE_CXX),-lstdc++ -Wl$(,)--wrap=ot_cuda_open)

# ---- set-up ------------------------------------------------------------------------------------
.PHONY: deps
deps:
	$(Q)./tools/install-deps

# ---- tests -------------------------------------------------------------------------------------
# deps first, then a second make: what was just installed must be there before anything is compiled.
.PHONY: check check-built asan tsan
IT := $(sort $(wildcard tests/it_*.sh))
check: deps
	$(Q)$(MAKE) --no-print-directory check-built

check-built: $(PROGS) $(TESTS) $(B)/tests/run_nets $(PLUGIN) $(GPU_BENCHES)
	$(Q)tools/run-tests --build $(B) $(TESTS) $(IT)

# Real nets: what is missing beside them (data, mean images, weights) is made for the run.
.PHONY: nets
NETS ?= ../shared/compat
nets: $(B)/tests/run_nets
	$(Q)$(B)/tests/run_nets $(NETS_ARGS) "$(NETS)"

asan:
	$(Q)$(MAKE) --no-print-directory MODE=asan asan-built
.PHONY: asan-built tsan-built
asan-built: $(PROGS) $(TESTS) $(B)/tests/run_nets $(GPU_BENCHES)
	$(Q)ASAN_OPTIONS=detect_stack_use_after_return=1 tools/run-tests --build $(B) $(TESTS) $(IT)

# The modules with threads of their own; OpenMP is left out, TSan does not know libgomp's barriers.
THREADED := test_base test_loader test_loader_share test_pool test_pool_adopt test_pool_faults test_pool_guard test_pool_steer test_replay
tsan:
	$(Q)$(MAKE) --no-print-directory MODE=tsan tsan-built
tsan-built: $(THREADED:%=$(B)/tests/%)
	$(Q)tools/run-tests --build $(B) $^

# ---- fuzzing -------------------------------------------------------------------------------------
# What is found stays in build/fuzz/; a bug's input goes into tests/fuzz/corpus/ by hand, with its fix.
.PHONY: fuzz fuzz-built fuzz-seeds
FUZZ         := text datum wire net
FUZZ_SECONDS ?= 20
FUZZ_FLAGS   := -rss_limit_mb=2048 -malloc_limit_mb=512 -timeout=10 -max_len=16384 \
                -verbosity=0 -print_final_stats=1
fuzz:
	$(Q)./tools/install-deps --fuzz
	$(Q)$(MAKE) --no-print-directory MODE=fuzz CC=clang fuzz-built

fuzz-built: $(FUZZ:%=$(B)/fuzz_%)
	$(Q)for t in $(FUZZ); do echo "fuzz_$$t, $(FUZZ_SECONDS) s"; mkdir -p $(B)/found/$$t && $(B)/fuzz_$$t $(FUZZ_FLAGS) \
	    -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$(B)/found/$$t- \
	    $$(test ! -f tests/fuzz/$$t.dict || echo -dict=tests/fuzz/$$t.dict) \
	    $(B)/found/$$t tests/fuzz/corpus/$$t || exit 1; done

$(FUZZ:%=$(B)/fuzz_%): $(B)/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/entry_%.o $(LIB)
	$(if $(Q),@echo '  LD    $@')
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

$(B)/fuzz_text $(B)/fuzz_net: $(B)/tests/fuzz/numbers.o

$(FUZZ:%=$(B)/tests/fuzz/entry_%.o): $(B)/tests/fuzz/entry_%.o: tests/fuzz/entry.c Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -DOT_FUZZ=ot_fuzz_$* -MMD -MP -c -o $@ $<

# The corpus is committed; this makes its binary part anew.
fuzz-seeds: $(B)/fuzz-seeds
	$(Q)$(B)/fuzz-seeds tests/fuzz/corpus
$(B)/fuzz-seeds: $(B)/tests/fuzz/seeds.o $(LIB)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# What Caffe really computed: make golden GOLDEN=DIR [ONLY=part-of-a-path]
.PHONY: golden
golden: $(TESTS)
	$(Q)$(B)/tests/test_golden "$(GOLDEN)" $(ONLY)

# ---- data of the demo and of the example configs -------------------------------------------------
.PHONY: data demo bccd
FASHION := /usr/share/datasets/fashion-mnist
DC      := data-cache
OHEMDATA := $(B)/ohemdata
SCENES_TRAIN ?= 4000
SCENES_TEST  ?= 300
data: $(DC)/fashion-train.lmdb/data.mdb $(DC)/fashion-test.lmdb/data.mdb \
      $(DC)/scenes-train.lmdb/data.mdb $(DC)/scenes-test.lmdb/data.mdb

$(DC):
	$(Q)mkdir -p $@

$(DC)/fashion-train.lmdb/data.mdb: | $(OHEMDATA) $(DC)
	$(Q)$(OHEMDATA) idx --force $(FASHION)/train-images-idx3-ubyte.gz \
	    $(FASHION)/train-labels-idx1-ubyte.gz $(@D)
$(DC)/fashion-test.lmdb/data.mdb: | $(OHEMDATA) $(DC)
	$(Q)$(OHEMDATA) idx --force $(FASHION)/t10k-images-idx3-ubyte.gz \
	    $(FASHION)/t10k-labels-idx1-ubyte.gz $(@D)
$(DC)/scenes-train.lmdb/data.mdb: | $(OHEMDATA) $(DC)
	$(Q)$(OHEMDATA) scenes --force --out $(@D) --images $(FASHION)/train-images-idx3-ubyte.gz \
	    --labels $(FASHION)/train-labels-idx1-ubyte.gz --count $(SCENES_TRAIN) \
	    --size 160x160 --seed 1 --encode none
$(DC)/scenes-test.lmdb/data.mdb: | $(OHEMDATA) $(DC)
	$(Q)$(OHEMDATA) scenes --force --out $(@D) --images $(FASHION)/t10k-images-idx3-ubyte.gz \
	    --labels $(FASHION)/t10k-labels-idx1-ubyte.gz --count $(SCENES_TEST) \
	    --size 160x160 --seed 2 --encode none

demo: deps
	$(Q)$(MAKE) --no-print-directory demo-built
.PHONY: demo-built
demo-built: $(PROGS)
	$(Q)$(MAKE) --no-print-directory -j data
	$(B)/ohemtrain configs/frcnn.conf

# The same detector on real photographs: make bccd BCCD=<VOC tree>
bccd: $(PROGS) | $(DC)
	$(Q)test -n "$(BCCD)" || { echo 'say where the VOC tree is: make bccd BCCD=path' >&2; exit 64; }
	$(Q)for s in trainval test; do test -f $(DC)/bccd-$$s.lmdb/data.mdb || $(OHEMDATA) voc \
	    --root "$(BCCD)" --set $$s --classes RBC,WBC,Platelets --on-error skip \
	    --out $(DC)/bccd-$$s.lmdb || exit $$?; done
	$(B)/ohemtrain configs/bccd.conf $(BCCD_ARGS)

# ---- benchmarks ----------------------------------------------------------------------------------
.PHONY: bench bench-noise bench-mining
bench: $(PROGS) $(BENCHES)
	$(Q)bench/run --build $(B) --python $(PYTHON)

bench-mining: $(PROGS) $(B)/bench/bench_mining $(B)/bench/slow_fsync.so
	$(Q)bench/mining --build $(B) $(MINING_ARGS)

$(B)/bench/slow_fsync.so: bench/slow_fsync.c Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -fPIC -shared -o $@ $<

bench-noise: $(PROGS)
	$(Q)OMP_NUM_THREADS=1 $(PYTHON) bench/noise --build $(B) $(NOISE_ARGS)

# ---- on a machine with a GPU -----------------------------------------------------------------------
# GPU_CHECK_ARGS, GPU_BENCH_ARGS: --budget SECONDS, --only PARTS, --out FILE; --help has all.
.PHONY: gpu-check gpu-bench bundle bundle-built
gpu-check: $(PROGS) $(PLUGIN) $(GPU_TESTS)
	$(Q)$(PYTHON) tools/gpu-check --build $(B) $(GPU_CHECK_ARGS)

gpu-bench: $(PROGS) $(PLUGIN) $(GPU_BENCHES)
	$(Q)$(PYTHON) bench/gpu --build $(B) $(GPU_BENCH_ARGS)

# Both from a folder that needs no library of ours: docs/benchmarks.md says how to carry it.
bundle:
	$(Q)$(MAKE) --no-print-directory BUNDLE=1 bundle-built
bundle-built: $(PROGS) $(PLUGIN) $(GPU_TESTS) $(GPU_BENCHES)
	$(Q)CC="$(CC)" tools/bundle --build $(B) --out $(BUILD)/bundle
	$(Q)BUNDLE=$(BUILD)/bundle tests/it_bundle.sh

# ---- lint ----------------------------------------------------------------------------------------
.PHONY: lint format compdb
# without CUDA's and HDF5's headers these cannot be read
NO_TIDY := $(if $(CUDNN),,$(addprefix cuda/,conv.c conv_choice.c conv_contest.c conv_graph.c device.c gemm.c ip.c memory.c record.c transfer.c)) \
           $(if $(filter 1,$(HDF5)),,data/hdf5.c)
C_FILES = $(shell git ls-files -co --exclude-standard -- '*.c' '*.h')
lint: $(GEN)/proto/caffe.pb-c.h $(SQL_H)
	$(Q)./tools/install-deps --lint
	$(Q)tools/lint/layers.sh
	$(Q)tools/lint/headers.sh $(GEN)
	$(Q)tools/lint/sizes.sh
	$(Q)tools/lint/paths.sh
	$(Q)clang-format --dry-run -Werror $(C_FILES)
	$(Q)printf '%s\n' $(filter-out tests/% bench/% $(NO_TIDY),$(filter %.c,$(C_FILES))) | \
	    xargs -P2 -n1 sh -c 'clang-tidy --quiet "$$1" -- $(STD) -fopenmp -I. -I$(GEN) \
	    $(H5_FLAGS) $(if $(CUDA_HOME),-isystem $(CUDA_HOME)/include) 2>/dev/null' x

format:
	$(Q)clang-format -i $(C_FILES)

# ---- install -------------------------------------------------------------------------------------
.PHONY: install uninstall
SHARE := $(DESTDIR)$(PREFIX)/share
install: $(PROGS) $(PLUGIN)
	install -d $(DESTDIR)$(PREFIX)/bin $(SHARE)/man/man1 $(SHARE)/ohemtrain/configs
	install $(PROGS) $(DESTDIR)$(PREFIX)/bin/
	$(if $(PLUGIN),install -d $(DESTDIR)$(PREFIX)/lib/ohemtrain)
	$(if $(PLUGIN),install $(PLUGIN) $(DESTDIR)$(PREFIX)/lib/ohemtrain/)
	install -m 644 man/*.1 $(SHARE)/man/man1/
	install -m 644 configs/* $(SHARE)/ohemtrain/configs/
uninstall:
	rm -f $(PROGS:$(B)/%=$(DESTDIR)$(PREFIX)/bin/%) $(patsubst man/%,$(SHARE)/man/man1/%,$(wildcard man/*.1))
	rm -rf $(SHARE)/ohemtrain $(DESTDIR)$(PREFIX)/lib/ohemtrain

# ---- targets for people ------------------------------------------------------------------------
.PHONY: help clean
help:
	@sed -n 's/^#   //p' Makefile

clean:
	$(Q)rm -rf $(BUILD)

-include $(shell find $(B) $(CU) -name '*.d' 2>/dev/null)
