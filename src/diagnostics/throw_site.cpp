// The stack at a throw. The runtime unwinds in two phases: first it walks up from the throw and asks each
// frame's personality routine whether it catches, with the stack still whole; then it walks again and unwinds.
// A frame that is asked, but never catches, therefore sees the stack of exactly those exceptions that nothing
// below it catches. C++ cannot name its own personality routine, so that frame is a few lines of assembly.
#include "stack_walk.hpp"

namespace retinue::detail {
namespace {

thread_local constinit StackRecord site;

}  // namespace

const StackRecord& throw_site() noexcept { return site; }
void clear_throw_site() noexcept { site.count = 0; }

}  // namespace retinue::detail

// Called by the unwinder only, for the one frame below.
extern "C" __attribute__((used, visibility("hidden"))) _Unwind_Reason_Code retinue_detail_throw_site_personality(
    int, _Unwind_Action actions, _Unwind_Exception_Class, _Unwind_Exception*, _Unwind_Context*) {
  if ((actions & _UA_SEARCH_PHASE) != 0) retinue::detail::walk_stack(retinue::detail::site, 0);
  return _URC_CONTINUE_UNWIND;
}

// The personality is named by a 32-bit distance (0x1b: pcrel | sdata4), which needs no run-time relocation
// because the routine is hidden, hence in the same module, in static and in shared builds alike.
#if defined(__x86_64__)
asm(R"(
  .pushsection .text
  .globl retinue_detail_call_with_throw_site
  .type retinue_detail_call_with_throw_site, @function
  .p2align 4
retinue_detail_call_with_throw_site:
  .cfi_startproc
  .cfi_personality 0x1b, retinue_detail_throw_site_personality
  endbr64
  subq $8, %rsp
  .cfi_adjust_cfa_offset 8
  movq %rdi, %rax
  movq %rsi, %rdi
  call *%rax
  addq $8, %rsp
  .cfi_adjust_cfa_offset -8
  ret
  .cfi_endproc
  .size retinue_detail_call_with_throw_site, . - retinue_detail_call_with_throw_site
  .popsection
)");
#elif defined(__aarch64__)
asm(R"(
  .pushsection .text
  .globl retinue_detail_call_with_throw_site
  .type retinue_detail_call_with_throw_site, %function
  .p2align 4
retinue_detail_call_with_throw_site:
  .cfi_startproc
  .cfi_personality 0x1b, retinue_detail_throw_site_personality
  hint #34
  stp x29, x30, [sp, #-16]!
  .cfi_def_cfa_offset 16
  .cfi_offset 29, -16
  .cfi_offset 30, -8
  mov x29, sp
  mov x2, x0
  mov x0, x1
  blr x2
  ldp x29, x30, [sp], #16
  .cfi_restore 30
  .cfi_restore 29
  .cfi_def_cfa_offset 0
  ret
  .cfi_endproc
  .size retinue_detail_call_with_throw_site, . - retinue_detail_call_with_throw_site
  .popsection
)");
#else
namespace retinue::detail {
void call_with_throw_site(void (*fn)(void*), void* arg) { fn(arg); }
}  // namespace retinue::detail
#endif
