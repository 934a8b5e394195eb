/* More tasks than slots, moved up by the service thread alone; a task in a slot waits for the one that found none. */
#define TASKS 3
#define SLOTS 2
#define SPINNERS 0
#define PAIR_A 0
#define PAIR_B 2
#define OWNER_IS_AWAY 1
#define ONE_LOOK_A_STEP
#include "../slot_protocol.pml"
