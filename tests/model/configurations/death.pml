/* A worker dies at any step; the first task runs again then, the second does not. */
#define TASKS 2
#define SPINNERS 0
#define CRASHES 1
#define RETRIES 1
#include "../slot_protocol.pml"
