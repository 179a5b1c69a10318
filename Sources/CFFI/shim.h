// libffi, and what of it Swift cannot import: its type objects are mutable globals, and errno must be read right after a call.
#ifndef CFFI_SHIM_H
#define CFFI_SHIM_H
#include <errno.h>
#include <ffi.h>

enum { CFFI_VOID, CFFI_INT8, CFFI_INT16, CFFI_INT32, CFFI_INT64, CFFI_UINT8, CFFI_UINT16, CFFI_UINT32, CFFI_UINT64, CFFI_DOUBLE, CFFI_POINTER };

static inline ffi_type *cffi_type(int kind) {
  switch (kind) {
    case CFFI_VOID: return &ffi_type_void;
    case CFFI_INT8: return &ffi_type_sint8;
    case CFFI_INT16: return &ffi_type_sint16;
    case CFFI_INT32: return &ffi_type_sint32;
    case CFFI_INT64: return &ffi_type_sint64;
    case CFFI_UINT8: return &ffi_type_uint8;
    case CFFI_UINT16: return &ffi_type_uint16;
    case CFFI_UINT32: return &ffi_type_uint32;
    case CFFI_UINT64: return &ffi_type_uint64;
    case CFFI_DOUBLE: return &ffi_type_double;
    default: return &ffi_type_pointer;
  }
}

// Prepares an interface; `variadic` arguments at the end are such, or -1: the function takes a fixed number.
static inline int cffi_prepare(ffi_cif *cif, int count, int variadic, ffi_type *result, ffi_type **types) {
  return variadic < 0 ? ffi_prep_cif(cif, FFI_DEFAULT_ABI, (unsigned)count, result, types)
                      : ffi_prep_cif_var(cif, FFI_DEFAULT_ABI, (unsigned)(count - variadic), (unsigned)count, result, types);
}

// Calls, and answers the errno that the function left.
static inline int cffi_call(ffi_cif *cif, void *function, void *result, void **arguments) {
  errno = 0;
  ffi_call(cif, (void (*)(void))function, result, arguments);
  return errno;
}
#endif
