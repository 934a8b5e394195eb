/* Two tasks that come in one go and must run together, with store buffers. */
#define TASKS 2
#define JOINED 1
#define PAIR_A 0
#define PAIR_B 1
#define STORE_BUFFERS
#define ONE_LOOK_A_STEP
#include "../slot_protocol.pml"
