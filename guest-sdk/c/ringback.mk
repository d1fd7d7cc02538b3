# How a plugin in C is built: `include` this in a Makefile that sets PLUGIN, the name of `PLUGIN.c`.
#
#   make          build/PLUGIN.wasm
#   make test     test_PLUGIN.c, natively

RINGBACK := $(dir $(lastword $(MAKEFILE_LIST)))
CC_WASM ?= clang-19
CC_NATIVE ?= cc
CFLAGS ?= -Wall -Wextra -Werror

# Nothing is freed before a call ends, and what fits into the memory at the beginning need not be asked for: a stack of 64 KiB
# and 512 KiB in all.
WASM := $(CC_WASM) --target=wasm32-wasi --sysroot=/usr -D_GNU_SOURCE -Oz $(CFLAGS) -I$(RINGBACK) -Wno-c23-extensions
LINK := -mexec-model=reactor -s -Wl,-z,stack-size=65536 -Wl,--initial-memory=524288
EXPORTS := verifier parser condition step responder configurable
OBJECTS := $(EXPORTS:%=build/%.o) build/imports.o build/host.o build/text.o
TYPES := $(EXPORTS:%=$(RINGBACK)bindings/%.o) $(RINGBACK)bindings/imports.o
HEADERS := $(RINGBACK)ringback.h $(RINGBACK)bindings/plugin.h $(RINGBACK)bindings/exports.h
VECTORS := $(wildcard vectors.json)

build/$(PLUGIN).wasm: build/plugin.o $(OBJECTS) $(VECTORS:vectors.json=build/vectors.o)
	$(WASM) $(LINK) build/plugin.o $(VECTORS:vectors.json=build/vectors.o $(RINGBACK)bindings/vectors.o) \
	  -Wl,--start-lib $(OBJECTS) $(TYPES) -Wl,--end-lib -o $@

build/plugin.o: $(PLUGIN).c $(HEADERS) | build
	$(WASM) -c $< -o $@
build/vectors.o: $(RINGBACK)ringback_export.c $(HEADERS) vectors.json | build
	$(WASM) -DRB_EXPORT_vectors -DRB_VECTORS='"$(CURDIR)/vectors.json"' -c $< -o $@
build/imports.o: $(RINGBACK)bindings/imports.c $(HEADERS) | build
	$(WASM) -c $< -o $@
build/host.o: $(RINGBACK)ringback_host.c $(HEADERS) | build
	$(WASM) -c $< -o $@
build/text.o: $(RINGBACK)ringback.c $(HEADERS) | build
	$(WASM) -c $< -o $@
$(EXPORTS:%=build/%.o): build/%.o: $(RINGBACK)ringback_export.c $(HEADERS) | build
	$(WASM) -DRB_EXPORT_$* -c $< -o $@

test: build/test
	./build/test
build/test: test_$(PLUGIN).c $(PLUGIN).c $(RINGBACK)ringback.c $(RINGBACK)ringback_test.c $(RINGBACK)ringback_test.h \
  $(RINGBACK)ringback.h | build
	$(CC_NATIVE) -g -fsanitize=address,undefined $(CFLAGS) -I$(RINGBACK) test_$(PLUGIN).c $(RINGBACK)ringback.c \
	  $(RINGBACK)ringback_test.c -o $@

build:
	mkdir -p build
clean:
	rm -rf build
.PHONY: test clean
