/* Two deaths at any step, with the hint where to begin; one task, with a retry. */
#define TASKS 1
#define SPINNERS 0
#define CRASHES 2
#define RETRIES 1
#define HEAD 1
#include "../slot_protocol.pml"
