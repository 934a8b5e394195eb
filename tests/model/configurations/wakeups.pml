/* Doorbells of the workers, with store buffers: tasks that come one by one, the last two of which must run together. */
#define TASKS 3
#define STORE_BUFFERS
#define PAIR_A 1
#define PAIR_B 2
#include "../slot_protocol.pml"
