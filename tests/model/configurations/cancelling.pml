/* Cancelling without force, at any time, of tasks that are ready, run, are done, or wait for a slot. */
#define TASKS 2
#define SLOTS 2
#define SPINNERS 0
#define CANCELS 3
#define FORCE 0
#define ONE_LOOK_A_STEP
#include "../slot_protocol.pml"
