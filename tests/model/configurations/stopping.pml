/* One task may run past its deadline, the other is cancelled by force at any time. */
#define TASKS 2
#define SLOTS 2
#define SPINNERS 0
#define TIMED 1
#define CANCELS 2
#include "../slot_protocol.pml"
