/* A thread that waits for each of three futures. */
#define TASKS 3
#define ONE_LOOK_A_STEP
#include "../slot_protocol.pml"
