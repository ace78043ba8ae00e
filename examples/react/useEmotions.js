import { useEffect, useState } from 'react';
import { EmotionAnalyzer } from 'pyojeong';

/**
 * Reads the emotions of all faces in a playing video, in a worker, until the component is removed.
 *
 * @param {React.RefObject<HTMLVideoElement | null>} videoRef
 * @param {import('pyojeong').AnalyzerOptions} [options] those of the first call count
 * @returns {{ faces: import('pyojeong').FaceEmotions[] | null, error: Error | null }} faces are null until the first frame
 *   was read
 */
export function useEmotions(videoRef, options) {
  const [faces, setFaces] = useState(null);
  const [error, setError] = useState(null);

  useEffect(() => {
    let mounted = true;

    async function read() {
      const analyzer = await EmotionAnalyzer.create({ worker: true, halfLife: 300, ...options });
      try {
        while (mounted) {
          const video = videoRef.current;
          const isPlaying = video && video.readyState >= video.HAVE_CURRENT_DATA && !video.paused;
          const found = isPlaying ? await analyzer.analyze(video) : null;
          if (mounted && found) setFaces(found);
          await new Promise(requestAnimationFrame);
        }
      } finally {
        await analyzer.dispose();
      }
    }

    read().catch((reason) => mounted && setError(reason));
    return () => {
      mounted = false;
    };
  }, []);

  return { faces, error };
}
