/* The worker is killed while the task's slot says running: it may be busy with another by then. */
#define DEFECT_KILL_WITHOUT_MARK
#include "../configurations/stopping.pml"
