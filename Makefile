# ohemtrain - one Makefile, no recursion into folders, nothing written outside build/ and runs/.
#
#   make              build the programs into build/release/
#   make demo         all the set-up, then ohemtrain configs/frcnn.conf (6 minutes)
#   make check        all the set-up, then every test
#   make asan tsan    the tests under ASan+UBSan; the threaded modules under TSan
#   make lint         include graph, formatting, clang-tidy, cppcheck, headers
#   make bench        speed and memory beside PyTorch, as JSON
#   make install      into $(DESTDIR)$(PREFIX); make uninstall takes it away
#   make deps         install the Debian packages that are missing
#   make clean        remove build/
#
#   MODE=release|debug|asan|tsan   V=1 shows commands   WERROR=1   ARCH=native|x86-64-v3|...
#   CUDA=0 builds without cuda/ where nvcc is present

MODE   ?= release
BUILD  ?= build
ARCH   ?= native
PREFIX ?= /usr/local
CC     := $(if $(filter default,$(origin CC)),gcc,$(CC))
NVCC   ?= $(firstword $(wildcard /usr/local/cuda/bin/nvcc) $(shell command -v nvcc 2>/dev/null))
CUDA   ?= $(if $(NVCC),1,0)
PYTHON ?= python3
Q      := $(if $(V),,@)
B      := $(BUILD)/$(MODE)
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
ifeq ($(MODE_$(MODE)),)
$(error MODE=$(MODE) is not one of: $(patsubst MODE_%,%,$(filter MODE_%,$(.VARIABLES))))
endif

CPPFLAGS += -I. -I$(GEN)
# No contraction of a*b+c: overlaps and losses are compared, and ties must tie on every machine.
CFLAGS   += $(STD) $(WARN) $(MODE_$(MODE)) -ffp-contract=off
LDFLAGS  += $(filter -fsanitize=% -fopenmp,$(MODE_$(MODE)))
LDLIBS   += -ldnnl -lprotobuf-c -llmdb -lsqlite3 -lturbojpeg -lpng -lexpat -lz -ldl -lm -pthread

# Architecture is folders, lowest first; tools/lint/layers.sh checks who includes whom.
LIB_DIRS := base proto layers data mining trainer
SRC   := $(sort $(wildcard $(addsuffix /*.c,$(LIB_DIRS))))
OBJ   := $(SRC:%.c=$(B)/%.o) $(B)/caffe.pb-c.o
LIB   := $(B)/libohemtrain.a
PROGS := $(patsubst tools/%.c,$(B)/%,$(wildcard tools/ohem*.c))
TOOL_OBJ := $(patsubst %.c,$(B)/%.o,$(filter-out $(wildcard tools/ohem*.c),$(wildcard tools/*.c)))
TESTS := $(patsubst tests/%.c,$(B)/tests/%,$(sort $(wildcard tests/test_*.c)))
TEST_OBJ := $(patsubst %.c,$(B)/%.o,$(filter-out $(wildcard tests/test_*.c),$(wildcard tests/*.c)))
BENCHES := $(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/bench_*.c))
HDR   := $(sort $(wildcard $(addsuffix /*.h,$(LIB_DIRS))))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all programs tests
all: programs
programs: $(PROGS)
tests: $(TESTS)

# ---- generated ---------------------------------------------------------------------------------
$(GEN)/proto/caffe.pb-c.c $(GEN)/proto/caffe.pb-c.h &: proto/caffe.proto
	@mkdir -p $(GEN)
	$(Q)protoc-c --c_out=$(GEN) $<

# mining/schema.sql as a C string
$(GEN)/mining/schema_sql.h: mining/schema.sql
	@mkdir -p $(@D)
	$(Q)sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $< > $@

# ---- compile and link --------------------------------------------------------------------------
$(B)/%.o: %.c Makefile | $(GEN)/proto/caffe.pb-c.h $(GEN)/mining/schema_sql.h
	@mkdir -p $(@D)
	$(if $(Q),@echo '  CC    $<')
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/caffe.pb-c.o: $(GEN)/proto/caffe.pb-c.c Makefile
	@mkdir -p $(@D)
	$(if $(Q),@echo '  CC    $<')
	$(Q)$(CC) $(CPPFLAGS) -std=gnu11 $(MODE_$(MODE)) -MMD -MP -c -o $@ $<

$(LIB): $(OBJ)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(PROGS): $(B)/%: $(B)/tools/%.o $(TOOL_OBJ) $(LIB)
	$(if $(Q),@echo '  LD    $@')
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(TESTS): $(B)/tests/%: $(B)/tests/%.o $(TEST_OBJ) $(LIB)
	$(if $(Q),@echo '  LD    $@')
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

$(BENCHES): $(B)/bench/%: $(B)/bench/%.o $(LIB)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# ---- targets for people ------------------------------------------------------------------------
.PHONY: help clean
help:
	@sed -n 's/^#   //p' Makefile

clean:
	$(Q)rm -rf $(BUILD)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
