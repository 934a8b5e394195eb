/* More tasks than slots, and a thread that waits for each: slots are used again and positions passed over. */
#define TASKS 4
#define SLOTS 3
#define SPINNERS 0
#include "../slot_protocol.pml"
